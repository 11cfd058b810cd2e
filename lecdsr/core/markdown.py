"""Format values, escaped text and tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Characters with a meaning in Markdown; _ and - have none between letters or digits, so Toys_and_Games is not escaped.
MARKUP = re.compile(r"(?<![^\W_])[_-]|[_-](?![^\W_])|[\\`*{}\[\]()<>#+.!|~&$=:@^]")
# Line ends, control characters, and characters that change the text direction.
UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]+")


class Markdown(str):
    """Text that is already Markdown and is not escaped again."""


def escape(text: str) -> Markdown:
    """Escape ``text`` so that Markdown and HTML show it literally, on one line."""
    return Markdown(MARKUP.sub(_mask, UNSEEN.sub(" ", text).strip()))


def _mask(match: re.Match[str]) -> str:
    return ENTITIES.get(match[0], f"\\{match[0]}")


def cell(value: object) -> str:
    """Format a value for a table cell or a sentence; None becomes –."""
    if value is None:
        return "–"
    if isinstance(value, Markdown):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.2g}"
    return escape(str(value))


def percent(share: float | None) -> Markdown:
    """Format a share as a percentage."""
    return Markdown("–" if share is None else f"{100 * share:.1f} %")


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Format a table whose first column is text and whose other columns are right-aligned numbers."""
    lines = [[cell(value) for value in line] for line in (head, *rows)]
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def text_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a left-aligned table of Markdown cells; bars and line ends in a cell are escaped."""
    lines = [[" ".join(text.split()).replace("|", "\\|") for text in line] for line in (head, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:]))


def by_domain(name: str, values: Mapping[str, object]) -> list[object]:
    """Make a table row from its name and the value of each domain."""
    return [Markdown(name), values["x"], values["y"]]
