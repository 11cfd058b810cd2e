"""Replace a folder completely, or leave it unchanged on failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lecdsr.core.errors import InputError


@contextmanager
def replaced(folder: Path, marker: str) -> Iterator[Path]:
    """Yield an empty temporary folder next to ``folder``, which replaces it if the block succeeds.

    Args:
        folder: folder to replace.
        marker: name of a file by which our own folders are recognised; other folders are not replaced.

    Raises:
        InputError: ``folder`` is not empty and does not hold the marker.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and not (folder.is_dir() and ((folder / marker).exists() or not any(folder.iterdir()))):
        raise InputError(
            f"the folder exists and is not one that lecdsr saved: it has no {marker}",
            where=str(folder),
            do="choose another folder, or remove this one",
            code="other-folder",
        )
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{part}") for part in ("new", "old"))
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        for rest in (new, old):
            shutil.rmtree(rest, ignore_errors=True)
