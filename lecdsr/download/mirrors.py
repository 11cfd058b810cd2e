"""Download a file from the first of several mirrors that has it."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from lecdsr.core.console import warn
from lecdsr.core.errors import UserError
from lecdsr.download.fetch import PartialFile, UnreachableError, fetch
from lecdsr.download.inspect import BrokenError, Inspected
from lecdsr.download.settings import Settings


def download(
    mirrors: tuple[str, ...],
    relative: list[str],
    folder: Path,
    settings: Settings,
    check: Callable[[Path, str], Inspected],
) -> tuple[str, Inspected, str]:
    """Download the first of the paths ``relative`` that the first reachable mirror has.

    Args:
        mirrors: base URLs in the order in which they are tried; a mirror with a partial download comes first.
        relative: paths below a base URL, preferred first; each is also tried without its subfolder.
        folder: where the complete file is stored.
        settings: timeout and attempts.
        check: verifies the file before it gets its final name.

    Returns:
        Name, size and hash of the file, and its URL.

    Raises:
        UserError: no mirror has any of the files, or none could be reached; or the disk is full.
    """
    reasons = []
    for base in sorted(mirrors, key=lambda base: not _has_part(base, relative, folder)):
        for url in _urls(base, relative):
            target = folder / urllib.parse.unquote(url.rsplit("/", 1)[1])
            part = PartialFile(target)
            try:
                if not fetch(url, part, settings):
                    reasons.append(f"{url}: the server does not have it")
                    continue
                found = check(part.path, target.name)
            except (UnreachableError, BrokenError) as error:
                if isinstance(error, BrokenError):
                    part.discard()
                warn(f"{url}: {error}")
                reasons.append(f"{url}: {error}")
                break  # the other paths name other files
            os.replace(part.path, target)
            part.discard()
            return target.name, found, url
    names = list(dict.fromkeys(Path(path).name for path in relative))
    raise UserError(
        "a file could not be downloaded:\n    " + "\n    ".join(reasons),
        where=", ".join(mirrors),
        do=f"check the network and the names under `domains` in the pair's file; or download the file "
        f"({' or '.join(names)}) into {folder} yourself and run again",
        code="no-download",
    )


def _urls(base: str, relative: list[str]) -> list[str]:
    """List the URLs of all paths: first with their subfolders, then directly below the base URL."""
    paths = [*relative, *(Path(path).name for path in relative)]
    quoted = [urllib.parse.quote(path, safe="/,&") for path in paths]
    return list(dict.fromkeys(f"{base.rstrip('/')}/{path}" for path in quoted))


def _has_part(base: str, relative: list[str], folder: Path) -> bool:
    """Return whether there is a partial download from this mirror."""
    notes = (PartialFile(folder / Path(path).name).note() for path in relative)
    return any(note is not None and note.url in _urls(base, relative) for note in notes)
