"""Format items as tables and JSON for `recommend`, `explain` and `similar`; item texts are never parsed as markup."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from lecdsr.core.console import console, warn
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.recommender import NO_TITLE, Line, PairRecommender
from lecdsr.recommend.user import TargetUser


def scored_table(title: str, lines: list[Line], column: str = "score") -> Table:
    """Make a table of items with rank and score, best first."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("rank")
    table.add_column("asin", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("categories", ratio=2)
    table.add_column(column, justify="right")
    for place, line in enumerate(lines, 1):
        cells = (str(place), line.asin, line.title, line.categories, f"{line.score:.3f}")
        table.add_row(*(Text(cell) for cell in cells))
    return table


def history_table(title: str, lines: list[Line], names: tuple[str, str]) -> Table:
    """Make a table of items with the days of their interactions."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("day")
    table.add_column("asin", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("domain", ratio=2)
    for line in lines:
        cells = (line.when, line.asin, line.title, names[DOMAINS.index(line.domain)])
        table.add_row(*(Text(cell) for cell in cells))
    return table


def history_lines(recommender: PairRecommender, user: TargetUser) -> list[Line]:
    """List the items of a user's history with their days."""
    return [recommender.line(int(item), int(time)) for item, time in zip(user.items, user.times, strict=True)]


def print_notes(notes: Iterable[str]) -> None:
    """Print notes on how the arguments were interpreted, on standard error."""
    for note in notes:
        warn(note)


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object on standard output; NaN is refused."""
    console.print(
        json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), markup=False, soft_wrap=True, emoji=False
    )


def line_json(line: Line, **more: Any) -> dict[str, Any]:
    """Convert an item to JSON; ``title`` is null if it has none."""
    title = None if line.title == NO_TITLE else line.title
    return {"asin": line.asin, "domain": line.domain, "title": title, "categories": line.categories, **more}


def user_json(recommender: PairRecommender, user: TargetUser) -> dict[str, Any]:
    """Convert a user to JSON; ``user`` is null for an anonymous user."""
    history = [line_json(line, day=line.when) for line in history_lines(recommender, user)]
    return {"user": user.reviewer, "profile": user.profile, "history": history, "notes": list(user.notes)}
