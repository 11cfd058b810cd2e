"""Prompt templates: one folder per version, with text files in which ``$name`` is a placeholder for data.

Files of a version never change, because their text is part of the keys of paid answers. New wording gets a new folder.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template

from lecdsr.core.errors import UserError


def versions() -> list[str]:
    """List the names of the versions in sorted order."""
    return sorted(folder.name for folder in files(__package__).iterdir() if folder.name.startswith("v"))


def load_template(version: str, name: str) -> Template:
    """Read the template ``VERSION/NAME.txt``; the newline at its end is not part of the prompt.

    Raises:
        UserError: there is no such version.
    """
    if version not in versions():
        raise UserError(
            f"there is no prompt version {version!r}",
            where="prompts.version",
            do=f"use one of {', '.join(versions())}",
            code="unknown-version",
        )
    return Template((files(__package__) / version / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n"))
