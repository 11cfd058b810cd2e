"""One file from the first of several mirrors that has it, whole."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from lecdsr.core.console import warn
from lecdsr.core.errors import UserError
from lecdsr.download.fetch import Part, UnreachableError, fetch
from lecdsr.download.inspect import BrokenError, Inspected
from lecdsr.download.settings import Settings


def download(
    mirrors: tuple[str, ...],
    relative: list[str],
    folder: Path,
    settings: Settings,
    check: Callable[[Path, str], Inspected],
) -> tuple[str, Inspected, str]:
    """Download the first of ``relative`` that the first reachable mirror has, in its subfolder or at the base.

    Args:
        mirrors: base URLs, in the order in which they are tried; one that was begun with comes first.
        relative: paths below a base, best first.
        folder: where the file goes, by its own name, once it is whole.
        settings: patience with a mirror.
        check: looks through the file before it gets its name.

    Returns:
        Name, size and hash, and the URL it came from.

    Raises:
        UserError: no mirror has any of the files, or none could be reached; or the disk is full.
    """
    reasons = []
    for base in sorted(mirrors, key=lambda base: not _begun(base, relative, folder)):
        for url in _urls(base, relative):
            target = folder / urllib.parse.unquote(url.rsplit("/", 1)[1])
            part = Part(target)
            try:
                if not fetch(url, part, settings):
                    reasons.append(f"{url}: not there")
                    continue
                found = check(part.path, target.name)
            except (UnreachableError, BrokenError) as error:
                if isinstance(error, BrokenError):
                    part.discard()
                warn(f"{url}: {error}")
                reasons.append(f"{url}: {error}")
                break  # the mirror's other names are for other files
            os.replace(part.path, target)
            part.discard()
            return target.name, found, url
    names = list(dict.fromkeys(Path(path).name for path in relative))
    raise UserError(
        "a file could not be downloaded:\n    " + "\n    ".join(reasons),
        where=", ".join(mirrors),
        do=f"check the network, and the names under `domains`; or put the file ({' or '.join(names)}) "
        f"into {folder} by hand and run again",
    )


def _urls(base: str, relative: list[str]) -> list[str]:
    """Every path in its subfolder first, then directly below the base."""
    paths = [*relative, *(Path(path).name for path in relative)]
    quoted = [urllib.parse.quote(path, safe="/,&") for path in paths]
    return list(dict.fromkeys(f"{base.rstrip('/')}/{path}" for path in quoted))


def _begun(base: str, relative: list[str], folder: Path) -> bool:
    """Whether part of a file has come from this mirror."""
    notes = (Part(folder / Path(path).name).note() for path in relative)
    return any(note is not None and note.url in _urls(base, relative) for note in notes)
