"""One URL into a part file: resumed after an interruption, retried politely, never longer than it should be."""

from __future__ import annotations

import email.utils
import errno
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from lecdsr.core.console import byte_bar, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.files import write_text
from lecdsr.download.settings import Settings

BLOCK = 1 << 18
LONGEST_WAIT_S = 60.0
NOT_THERE = (403, 404, 410)
# Answers after which the same request may succeed.
PASSING = (408, 429, 500, 502, 503, 504)


class UnreachableError(Exception):
    """A URL could not be downloaded; the message says why."""


class _Again(Exception):
    """This attempt failed, the next may succeed; perhaps only after ``wait_s``."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class Note(NamedTuple):
    """What the bytes of a part belong to: without a validator nothing proves that more would fit."""

    url: str
    validator: str | None
    total: int | None


class Part:
    """The bytes of a file that have arrived, and a note of what they belong to."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.beside = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> Note | None:
        """What the bytes belong to; ``None`` where there are none, or the note is not whole."""
        try:
            note = Note(**json.loads(self.beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return note if self.path.exists() else None

    def begin(self, note: Note) -> None:
        """Start anew. The old bytes go before the new note comes, so that a kill never pairs the two."""
        self.discard()
        write_text(self.beside, json.dumps(note._asdict()))

    def discard(self) -> None:
        """Remove bytes and note."""
        self.path.unlink(missing_ok=True)
        self.beside.unlink(missing_ok=True)


def fetch(url: str, part: Part, settings: Settings) -> bool:
    """Download ``url`` into ``part``, from where it stands; false if the server does not have it.

    Attempts are counted anew whenever bytes arrive, so that a bad line gets there in the end.

    Raises:
        UnreachableError: no byte came in ``settings.attempts`` attempts.
        UserError: the disk is full, or would be.
    """
    failed, furthest = 0, part.size
    while True:
        try:
            return _attempt(url, part, settings.timeout_s)
        except _Again as again:
            # Beyond any point reached before: starting anew for ever is no progress.
            failed = 1 if part.size > furthest else failed + 1
            furthest = max(furthest, part.size)
            if failed >= settings.attempts:
                raise UnreachableError(f"{again} ({failed} attempts)") from again
            warn(f"{url}: {again}; trying again")
            time.sleep(min(max(2.0 ** (failed - 1), again.wait_s), LONGEST_WAIT_S))


def _attempt(url: str, part: Part, timeout_s: float) -> bool:
    note, size = part.note(), part.size
    resumed = note if note and note.url == url and note.validator and size else None
    if resumed and size == resumed.total:
        return True
    headers = {"Accept-Encoding": "identity"}
    if resumed:
        headers |= {"Range": f"bytes={size}-", "If-Range": str(resumed.validator)}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s) as response:
            total = _agree(url, response, part, resumed)
            _save(response, part, total)
    except urllib.error.HTTPError as error:
        return _refused(error, part)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(
                "the disk is full", where=str(part.path.parent), do="make room and run again; the part is kept"
            ) from error
        raise _Again(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error
    if total is not None and part.size != total:
        raise _Again(f"{part.size:,} of {total:,} bytes arrived")
    return True


def _agree(url: str, response: HTTPResponse, part: Part, resumed: Note | None) -> int | None:
    """Check what the server sends against what is there; the size of the whole file if it is told."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Again(f"the server packs the file anew ({response.headers['Content-Encoding']})")
    if response.status == 206:
        first, total = _content_range(response)
        if resumed and first == part.size and total == resumed.total:
            return total
        part.discard()
        raise _Again("the server sends another range than was asked for; starting anew")
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total > free + part.size:
        raise UserError(
            f"the file has {total / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB left",
            where=str(part.path.parent),
            do="make room and run again",
        )
    part.begin(Note(url, _validator(response), total))
    return total


def _content_range(response: HTTPResponse) -> tuple[int, int | None]:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _validator(response: HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    # A weak tag says that two files mean the same, not that they have the same bytes.
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _save(response: HTTPResponse, part: Part, total: int | None) -> None:
    say(f"downloading {response.url}" + (f" from byte {part.size:,} on" if part.size else ""))
    with byte_bar() as bar, open(part.path, "ab") as file:
        task = bar.add_task(part.path.name.removesuffix(".part").lstrip("."), total=total, completed=part.size)
        while block := response.read1(BLOCK):
            file.write(block)
            file.flush()
            bar.advance(task, len(block))


def _refused(error: urllib.error.HTTPError, part: Part) -> bool:
    """False if the server does not have the file; otherwise say what to do."""
    if error.code in NOT_THERE:
        return False
    if error.code == 416:  # the part is longer than the file, which is another one by now
        part.discard()
        raise _Again("the file has changed; starting anew")
    problem = f"the server answered {error.code}"
    if error.code in PASSING:
        raise _Again(problem, _retry_after(error.headers.get("Retry-After"))) from error
    raise UnreachableError(problem) from error


def _retry_after(value: str | None) -> float:
    """Seconds to wait, from a number of seconds or a date."""
    if not value:
        return 0.0
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
