"""Titles, brands, categories and descriptions of the items that were kept."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from lecdsr.base.errors import UserError
from lecdsr.raw.aside import KEPT_LINES, Aside
from lecdsr.raw.layouts import Layout
from lecdsr.raw.lines import read_lines
from lecdsr.raw.text import clean

MAX_CATEGORIES = 8


class Item(NamedTuple):
    """Cleaned texts of one item; empty where the file has none."""

    title: str
    brand: str
    categories: list[str]
    description: str


UNKNOWN = Item("", "", [], "")


def read_metadata(
    db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, kept: str, text_length: int
) -> tuple[dict[str, Item], Aside, int]:
    """Metadata of the ASINs in table ``kept(asin)``, one entry each.

    Where an ASIN has several lines, the first with a title counts.

    Returns:
        Items by ASIN (absent where the file has no line), malformed lines, and the number of
        lines that repeat an ASIN among those kept.

    Raises:
        UserError: the file cannot be read at all.
    """
    try:
        aside = _load(db, path, layout)
        rows = db.execute(
            f"SELECT number, asin, line FROM metadata SEMI JOIN {kept} USING (asin) ORDER BY number"
        ).fetchall()
        db.execute("DROP TABLE metadata")
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise UserError(f"cannot be read: {first}", where=str(path), do="bring the file anew; it may be cut") from error
    items: dict[str, Item] = {}
    repeated = 0
    for number, asin, line in rows:
        fields = parse(line, layout.python_dicts)
        if fields is None:
            aside.add(number, "not readable", line)
            continue
        repeated += asin in items
        if not items.get(asin, UNKNOWN).title:
            items[asin] = to_item(fields, text_length)
    return items, aside, repeated


def _load(db: duckdb.DuckDBPyConnection, path: Path, layout: Layout) -> Aside:
    """Table ``metadata(number, asin, line)`` of the lines that have an ASIN."""
    if layout.python_dicts:
        # Only the few lines that are kept are parsed whole; the ASIN of all is found by pattern.
        asin = r"""nullif(regexp_extract(line, '[''"]asin[''"]: [''"]([^''"]+)[''"]', 1), '')"""
    else:
        asin = "CASE WHEN json_valid(line) THEN coalesce(line ->> '$.parent_asin', line ->> '$.asin') END"
    db.execute(f"CREATE OR REPLACE TEMP TABLE metadata AS SELECT number, {asin} AS asin, line FROM {read_lines(path)}")
    (total,) = db.execute("SELECT count(*) FROM metadata").fetchone() or (0,)
    aside = Aside(path, total=int(total))
    bad = "FROM metadata WHERE asin IS NULL"
    for number, line in db.execute(f"SELECT number, line {bad} ORDER BY number LIMIT {KEPT_LINES}").fetchall():
        aside.add(number, "no asin, or not readable", line)
    (aside.bad,) = db.execute(f"SELECT count(*) {bad}").fetchone() or (0,)
    return aside


def parse(line: str, python_dict: bool) -> dict[str, Any] | None:
    """One metadata line; ``None`` if it is no mapping. Python literals are read, never evaluated."""
    try:
        value = ast.literal_eval(line) if python_dict else json.loads(line)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) else None


def to_item(fields: dict[str, Any], text_length: int) -> Item:
    """Texts of one metadata line of any release, cleaned and cut to ``text_length`` characters."""
    title = clean(_text(fields.get("title")))
    categories = [clean(text) for text in _strings(fields.get("category") or fields.get("categories"))]
    distinct = list(dict.fromkeys(text[:text_length] for text in categories if text))
    return Item(
        title="" if is_script(title) else title[:text_length],
        brand=clean(_text(fields.get("brand") or fields.get("store")))[:80],
        categories=distinct[:MAX_CATEGORIES],
        description=clean(_text(fields.get("description")))[:text_length],
    )


def is_script(title: str) -> bool:
    """Some titles of the 2018 release are page scripts that were scraped in their place."""
    return "getTime" in title or "function(" in title


def _strings(value: Any) -> list[str]:
    """All strings of a value that is a string, a list, or a list of lists."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return []


def _text(value: Any) -> str:
    return " ".join(_strings(value))
