"""Find the commands in the README and the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
#: Languages of a block of commands; a block without one is taken for commands, so that none slips through.
COMMANDS = ("", "bash", "sh", "shell", "console")
#: Two spaces before it tell a comment from a # that is part of a command.
COMMENT = re.compile(r"\s{2,}#.*$|^#.*$")


def pages(root: Path) -> list[Path]:
    """List the README and every page of the documentation."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def commands(text: str) -> Iterator[str]:
    """Yield every command of a page, one per line, without comments; lines that end with a backslash are joined."""
    for block in FENCE.finditer(text):
        if block["language"] in COMMANDS:
            for line in block["body"].replace("\\\n", " ").splitlines():
                command = " ".join(COMMENT.sub("", line.strip()).split())
                if command:
                    yield command
