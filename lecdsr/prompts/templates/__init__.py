"""The wording of the prompts: a folder for each version, in it text files with ``$name`` where data goes.

A version that answers were bought with stays as it is: its words are part of their keys. A new
wording is a new folder.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template

from lecdsr.core.errors import UserError


def versions() -> list[str]:
    """Names of the versions there are, in order."""
    return sorted(folder.name for folder in files(__package__).iterdir() if folder.name.startswith("v"))


def load_template(version: str, name: str) -> Template:
    """Read ``VERSION/NAME.txt``; the newline at its end is not part of the prompt.

    Raises:
        UserError: there is no such version.
    """
    if version not in versions():
        raise UserError(
            f"there is no version {version!r} of the prompts",
            where="prompts.version",
            do=f"use {', '.join(versions())}",
        )
    return Template((files(__package__) / version / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n"))
