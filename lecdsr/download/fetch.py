"""Download one URL into a partial file over HTTP, with resumption, retries and a check of the length."""

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
MISSING = (403, 404, 410)
# HTTP status codes after which the same request may succeed later.
RETRIABLE = (408, 429, 500, 502, 503, 504)


class UnreachableError(Exception):
    """Error of a URL that could not be downloaded; the message says why."""


class _RetryLater(Exception):
    """Error of one attempt; the next attempt may succeed, after ``wait_s`` seconds if given."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class PartialNote(NamedTuple):
    """URL, validator (ETag or date) and total size of a partial file; without a validator it cannot be resumed."""

    url: str
    validator: str | None
    total: int | None


class PartialFile:
    """A file that is only partly downloaded: the bytes received so far, and a note of their URL and validator."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.beside = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> PartialNote | None:
        """Read the note; ``None`` if there are no bytes or the note is incomplete."""
        try:
            note = PartialNote(**json.loads(self.beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return note if self.path.exists() else None

    def begin(self, note: PartialNote) -> None:
        """Start from zero; the old bytes are removed before the new note is written, so that a kill cannot mix them."""
        self.discard()
        write_text(self.beside, json.dumps(note._asdict()))

    def discard(self) -> None:
        """Delete the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self.beside.unlink(missing_ok=True)


def fetch(url: str, part: PartialFile, settings: Settings) -> bool:
    """Download ``url`` into ``part``, resuming if possible; return false if the server does not have it.

    Attempts are counted from 1 again whenever new bytes arrive, so that a bad connection succeeds in the end.

    Raises:
        UnreachableError: ``settings.attempts`` attempts in a row returned no data.
        UserError: the disk is full, or would be.
    """
    failed, furthest = 0, part.size
    while True:
        try:
            return _attempt(url, part, settings.timeout_s)
        except _RetryLater as again:
            # Progress means more bytes than ever before; a download that only restarts makes none.
            failed = 1 if part.size > furthest else failed + 1
            furthest = max(furthest, part.size)
            if failed >= settings.attempts:
                raise UnreachableError(f"{again} ({failed} attempts)") from again
            warn(f"{url}: {again}; trying again")
            time.sleep(min(max(2.0 ** (failed - 1), again.wait_s), LONGEST_WAIT_S))


def _attempt(url: str, part: PartialFile, timeout_s: float) -> bool:
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
                "the disk is full",
                where=str(part.path.parent),
                do="free space and run again; the partial file is kept",
                code="disk-full",
            ) from error
        raise _RetryLater(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error
    if total is not None and part.size != total:
        raise _RetryLater(f"only {part.size:,} of {total:,} bytes arrived")
    return True


def _agree(url: str, response: HTTPResponse, part: PartialFile, resumed: PartialNote | None) -> int | None:
    """Check that the response continues the partial file; return the total size if the server reports it."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _RetryLater(f"the server compresses the file on the way ({response.headers['Content-Encoding']})")
    if response.status == 206:
        first, total = _content_range(response)
        if resumed and first == part.size and total == resumed.total:
            return total
        part.discard()
        raise _RetryLater("the server sends another range than requested; starting again from zero")
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total > free + part.size:
        raise UserError(
            f"the file has {total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free on the disk",
            where=str(part.path.parent),
            do="free space and run again",
            code="disk-full",
        )
    part.begin(PartialNote(url, _validator(response), total))
    return total


def _content_range(response: HTTPResponse) -> tuple[int, int | None]:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _validator(response: HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    # A weak ETag does not guarantee identical bytes.
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _save(response: HTTPResponse, part: PartialFile, total: int | None) -> None:
    say(f"downloading {response.url}" + (f" from byte {part.size:,} on" if part.size else ""))
    with byte_bar() as bar, open(part.path, "ab") as file:
        task = bar.add_task(part.path.name.removesuffix(".part").lstrip("."), total=total, completed=part.size)
        while block := response.read1(BLOCK):
            file.write(block)
            file.flush()
            bar.advance(task, len(block))


def _refused(error: urllib.error.HTTPError, part: PartialFile) -> bool:
    """Return false if the server does not have the file; raise an error for every other refusal."""
    if error.code in MISSING:
        return False
    if error.code == 416:  # the file has changed and is now shorter than the partial file
        part.discard()
        raise _RetryLater("the file has changed; starting again from zero")
    problem = f"the server answered {error.code}"
    if error.code in RETRIABLE:
        raise _RetryLater(problem, _retry_after(error.headers.get("Retry-After"))) from error
    raise UnreachableError(problem) from error


def _retry_after(value: str | None) -> float:
    """Read the seconds to wait from a ``Retry-After`` header, which holds seconds or a date."""
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
