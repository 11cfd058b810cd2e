"""Refuse words that a reader would not search for: `python scripts/check_words.py [FILE…]`.

Checks the prose of every tracked file: documentation, comments, docstrings, messages and templates. The words are in
scripts/words.tsv, each with a suggestion. Quotations are left alone: code in backticks, lines that start with `>`,
and everything between `words: off` and `words: on`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORDS = Path(__file__).with_name("words.tsv")
PROSE = (".py", ".md", ".yaml", ".yml", ".jinja", ".txt", ".cff", ".toml", ".ipynb")
#: Files written by programs, files about these very words, and prompts, whose wording is part of the key of an answer.
SKIPPED = (
    "scripts/words.tsv", "scripts/check_words.py", "constraints.txt", "dvc.lock", "docs/results.md", "metrics/",
    "lecdsr/prompts/templates/", "benchmarks/wordings.py", "tests/docs/test_words.py", "mkdocs.yml",
)  # fmt: skip
CODE = re.compile(r"``.*?``|`[^`\n]*`|https?://\S+")


class Word(NamedTuple):
    """Refused word and the suggestion for it."""

    pattern: re.Pattern[str]
    suggestion: str


class Finding(NamedTuple):
    """Refused word that was found, with its file and line."""

    file: str
    line: int
    word: str
    suggestion: str


def read_words(path: Path = WORDS) -> list[Word]:
    """Read the table of refused words."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    rows = (line.split("\t") for line in lines)
    return [Word(re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), then) for pattern, then in rows]


def findings(file: str, text: str, words: list[Word]) -> Iterator[Finding]:
    """Find the refused words of one file, outside quotations."""
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        if "words: off" in line or "words: on" in line:
            quoted = "words: off" in line
            continue
        if quoted or line.lstrip().startswith(">"):
            continue
        prose = CODE.sub(" ", line)
        for word in words:
            for match in word.pattern.finditer(prose):
                yield Finding(file, number, match[0], word.suggestion)


def tracked() -> list[str]:
    """List the files that Git tracks and that contain prose."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if name.endswith(PROSE) and not name.startswith(SKIPPED)]


def main(names: list[str]) -> int:
    """Print all refused words found; return 1 if there are any."""
    words = read_words()
    found = [
        one for name in names or tracked() for one in findings(name, (ROOT / name).read_text(encoding="utf-8"), words)
    ]
    for one in found:
        print(f"{one.file}:{one.line}: {one.word!r}: write {one.suggestion}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
