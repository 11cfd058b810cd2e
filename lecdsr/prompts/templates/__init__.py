"""The wording of the prompts: text files with ``$name`` where data goes."""

from __future__ import annotations

from importlib.resources import files
from string import Template


def load_template(name: str) -> Template:
    """Read ``NAME.txt``; the newline at its end is not part of the prompt."""
    return Template((files(__package__) / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n"))
