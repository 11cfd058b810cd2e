"""One file over HTTP: polite retries, a temporary name until it is whole."""

from __future__ import annotations

import errno
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from lecdsr.base.console import progress_bar, say, warn
from lecdsr.base.errors import UserError
from lecdsr.base.files import atomic_path

BLOCK = 1 << 20


def fetch_first(base: str, relative: list[str], folder: Path, timeout_s: float, attempts: int) -> str:
    """Download the first of ``relative`` that the server has, in its subfolder or at the base.

    Returns:
        The name of the file in ``folder``.

    Raises:
        UserError: the server cannot be reached, or has none of the files.
    """
    urls = [f"{base.rstrip('/')}/{path}" for path in relative]
    urls += [url for path in relative if (url := f"{base.rstrip('/')}/{Path(path).name}") not in urls]
    for url in urls:
        target = folder / url.rsplit("/", 1)[1]
        if _fetch(url, target, timeout_s, attempts):
            return target.name
    raise UserError(
        f"the server has none of: {', '.join(relative)}",
        where=base,
        do="check the names under `domains` and the `release` in the pair's file",
    )


def _fetch(url: str, target: Path, timeout_s: float, attempts: int) -> bool:
    """Download ``url``; false if the server does not have it."""
    problem = ""
    for attempt in range(attempts):
        if attempt:
            warn(f"{url}: {problem}; trying again")
            time.sleep(min(2.0**attempt, 60))
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as response:
                _save(response, target)
            return True
        except urllib.error.HTTPError as error:
            if error.code in (403, 404, 410):
                return False
            problem = f"the server answered {error.code}"
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise UserError("the disk is full", where=str(target.parent), do="make room and run again") from error
            reason = getattr(error, "reason", error)
            problem = f"{type(error).__name__}: {reason}"
    raise UserError(
        f"cannot be downloaded after {attempts} attempts ({problem})",
        where=url,
        do=f"check the network, or put the file into {target.parent} by hand and run again",
    )


def _save(response: HTTPResponse, target: Path) -> None:
    length = response.headers.get("Content-Length")
    say(f"downloading {response.url}")
    received = 0
    with atomic_path(target) as temporary, progress_bar() as bar:
        task = bar.add_task(target.name, total=int(length) if length else None, note="bytes")
        with open(temporary, "wb") as handle:
            while block := response.read(BLOCK):
                handle.write(block)
                received += len(block)
                bar.advance(task, len(block))
        if length and received != int(length):
            raise HTTPException(f"{received:,} of {int(length):,} bytes arrived")
