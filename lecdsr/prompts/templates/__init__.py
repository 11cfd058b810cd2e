"""Prompt templates: one folder per version, with text files in which ``$name`` is a placeholder for data.

Files of a version never change, because their text is part of the keys of paid answers. New wording gets a new folder.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template

from lecdsr.core.errors import UserError

# The instructions of v1 and v2. Their wording is part of the key of a paid answer, so it must not change. words: off
PROFILE_INSTRUCTION = (
    "Describe in at most 80 words what this customer likes, what they are likely to need next in each "
    "of the two shops, and what they would not buy. Name materials, flavours, styles and uses."
)
# words: on
DESCRIPTION_INSTRUCTION = (
    "Describe this product in at most 60 words: what it is, who uses it for what, and what goes with it."
)
_WITHOUT_FILE = {"profile_instruction": PROFILE_INSTRUCTION, "item_instruction": DESCRIPTION_INSTRUCTION}


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


def load_instruction(version: str, name: str) -> str:
    """Read the instruction ``VERSION/NAME.txt``; a version without the file has the instruction of ``v1``."""
    path = files(__package__) / version / f"{name}.txt"
    return path.read_text(encoding="utf-8").rstrip("\n") if path.is_file() else _WITHOUT_FILE[name]
