"""Markdown from values: text that cannot break out, numbers, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What Markdown gives a meaning; _ and - have none between two letters or digits, so Toys_and_Games stays readable.
MARKUP = re.compile(r"(?<![^\W_])[_-]|[_-](?![^\W_])|[\\`*{}\[\]()<>#+.!|~&$=:@^]")
# Line ends, control characters, and those that turn the direction of writing.
UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]+")


class Markdown(str):
    """Text that is Markdown already and is not escaped again."""


def escape(text: str) -> Markdown:
    """``text`` such that Markdown and HTML show it as it is, on one line."""
    return Markdown(MARKUP.sub(_mask, UNSEEN.sub(" ", text).strip()))


def _mask(match: re.Match[str]) -> str:
    return ENTITIES.get(match[0], f"\\{match[0]}")


def cell(value: object) -> str:
    """A value as it stands in a table or a sentence; – for what is not known."""
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
    """A share as a percentage."""
    return Markdown("–" if share is None else f"{100 * share:.1f} %")


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table whose first column is text and whose other columns are numbers, set to the right."""
    lines = [[cell(value) for value in line] for line in (head, *rows)]
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def text_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already, all to the left; bars and line ends do not end a cell."""
    lines = [[" ".join(text.split()).replace("|", "\\|") for text in line] for line in (head, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:]))


def by_domain(name: str, values: Mapping[str, object]) -> list[object]:
    """A row: what it is, then the value of each domain."""
    return [Markdown(name), values["x"], values["y"]]
