"""A folder that is replaced as a whole or left as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lecdsr.core.errors import InputError


@contextmanager
def replaced(folder: Path, marker: str) -> Iterator[Path]:
    """Give an empty folder beside ``folder``, which takes its place if the block succeeds.

    Args:
        folder: what is replaced.
        marker: a file that tells a folder of ours from others, which are left alone.

    Raises:
        InputError: ``folder`` is not empty and has no such file.
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
