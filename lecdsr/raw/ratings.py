"""Interactions of one domain into a DuckDB table: who, what, when, and the row of the file."""

from __future__ import annotations

from pathlib import Path

import duckdb

from lecdsr.base.errors import UserError
from lecdsr.raw.aside import KEPT_LINES, Aside
from lecdsr.raw.layouts import Layout
from lecdsr.raw.lines import read_lines

TYPES = {"asin": "VARCHAR", "reviewer": "VARCHAR", "rating": "FLOAT", "time": "BIGINT"}


def read_ratings(db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, table: str) -> Aside:
    """Create ``table(asin, reviewer, rating, time, row)`` from a ratings CSV or a file of reviews.

    ``time`` is in seconds, ``row`` counts the good lines of the file from 0. Malformed lines are
    left out and returned.

    Raises:
        UserError: the file cannot be read at all (a gzip cut short, for example).
    """
    reviews = ".json" in path.name
    try:
        return _reviews(db, path, layout, table) if reviews else _csv(db, path, layout, table)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise UserError(f"cannot be read: {first}", where=str(path), do="bring the file anew; it may be cut") from error


def _csv(db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, table: str) -> Aside:
    columns = {name: TYPES[name] for name in layout.columns}
    db.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    db.execute(
        f"""
        CREATE OR REPLACE TABLE {table} AS
        SELECT asin, reviewer, rating, time // {layout.time_unit} AS time, row_number() OVER () - 1 AS row
        FROM read_csv($path, header = {layout.header}, columns = $columns, auto_detect = false,
                      delim = ',', quote = '"', escape = '"', nullstr = '', store_rejects = true)
        """,
        {"path": str(path), "columns": columns},
    )
    aside = Aside(path, total=_count(db, table))
    rejected = db.execute(
        "SELECT line, min(error_type), min(csv_line) FROM reject_errors GROUP BY line ORDER BY line"
    ).fetchall()
    aside.total += len(rejected)
    for line, reason, text in rejected:
        aside.add(line, str(reason).lower(), text or "")
    _set_incomplete_aside(db, table, aside)
    return aside


def _set_incomplete_aside(db: duckdb.DuckDBPyConnection, table: str, aside: Aside) -> None:
    """Lines with an empty column; their place in the file is not known any more, so it is given as 0."""
    incomplete = "asin IS NULL OR reviewer IS NULL OR rating IS NULL OR time IS NULL"
    rows = db.execute(
        f"SELECT concat_ws(', ', asin, reviewer, rating, time) FROM {table} WHERE {incomplete}"
    ).fetchall()
    for (text,) in rows:
        aside.add(0, "a column is empty", text)
    if rows:
        db.execute(f"DELETE FROM {table} WHERE {incomplete}")


def _reviews(db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, table: str) -> Aside:
    """Full reviews, one JSON object a line; the keys differ between releases."""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE review AS
        SELECT number, line, json_valid(line) AS valid,
            CASE WHEN valid THEN coalesce(line ->> '$.parent_asin', line ->> '$.asin') END AS asin,
            CASE WHEN valid THEN coalesce(line ->> '$.reviewerID', line ->> '$.user_id') END AS reviewer,
            CASE WHEN valid THEN try_cast(coalesce(line ->> '$.overall', line ->> '$.rating') AS FLOAT) END AS rating,
            CASE WHEN valid THEN try_cast(coalesce(line ->> '$.unixReviewTime', line ->> '$.timestamp') AS BIGINT)
                 END // {layout.time_unit} AS time
        FROM {read_lines(path)}
        """
    )
    good = "asin <> '' AND reviewer <> '' AND rating IS NOT NULL AND time IS NOT NULL"
    db.execute(
        f"""
        CREATE OR REPLACE TABLE {table} AS
        SELECT asin, reviewer, rating, time, row_number() OVER (ORDER BY number) - 1 AS row
        FROM review WHERE {good} ORDER BY number
        """
    )
    aside = Aside(path, total=_count(db, "review"))
    bad = f"FROM review WHERE NOT coalesce({good}, false)"
    rows = db.execute(f"SELECT number, valid, line {bad} ORDER BY number LIMIT {KEPT_LINES}").fetchall()
    for number, valid, line in rows:
        aside.add(number, "a key is missing" if valid else "not JSON", line or "")
    (aside.bad,) = db.execute(f"SELECT count(*) {bad}").fetchone() or (0,)
    db.execute("DROP TABLE review")
    return aside


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(count)
