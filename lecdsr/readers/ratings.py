"""Interactions of one domain into a DuckDB table: who, what, when, and the row of the file."""

from __future__ import annotations

from pathlib import Path

import duckdb

from lecdsr.core.errors import UserError
from lecdsr.readers.custom import custom_interactions
from lecdsr.readers.layouts import Layout
from lecdsr.readers.lines import quoted, read_lines, unreadable
from lecdsr.readers.rejected import KEPT_LINES, RejectedLines
from lecdsr.readers.source import MOST_REJECTED, Source

TYPES = {"asin": "VARCHAR", "reviewer": "VARCHAR", "rating": "FLOAT", "time": "BIGINT"}


def read_ratings(
    db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, table: str, domain: int = 0
) -> RejectedLines:
    """Append one file to ``table(reviewer, domain, asin, rating, time, row)``; see :func:`create_ratings`.

    ``time`` is in seconds, ``row`` increases with the lines of the file. Malformed lines, and lines
    whose time the release cannot have, are left out and returned.

    Raises:
        UserError: the file cannot be read at all (a gzip cut short, for example), or lacks a column of the mapping.
    """
    if layout.custom is not None:
        source = custom_interactions(path, layout.custom)
    else:
        source = _reviews(path, layout) if ".json" in path.name else _csv(path, layout)
    try:
        return insert(db, path, source, table, domain, layout.last_time)
    except duckdb.OutOfMemoryException:
        raise  # no fault of the file
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def create_ratings(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Make the empty table that :func:`read_ratings` appends to."""
    db.execute(
        f"""CREATE TABLE {table}
        (reviewer VARCHAR, domain TINYINT, asin VARCHAR, rating FLOAT, time UINTEGER, row UINTEGER)"""
    )


def insert(
    db: duckdb.DuckDBPyConnection, path: Path, source: Source, table: str, domain: int, last_time: int
) -> RejectedLines:
    """Append the good rows of ``source`` to ``table``; return the bad ones.

    Raises:
        duckdb.Error: the file cannot be read.
        UserError: more lines are malformed than can be listed.
    """
    db.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    good = f"coalesce(asin <> '' AND reviewer <> '' AND isfinite(rating) AND time >= 0 AND time < {last_time}, false)"
    # In one pass: a bad row goes in as its text without an item, and is taken out below.
    db.execute(
        f"""
        INSERT INTO {table}
        SELECT CASE WHEN good THEN reviewer ELSE line END, {domain}, CASE WHEN good THEN asin END,
               rating, CASE WHEN good THEN time END, number - 1
        FROM (SELECT *, {good} AS good FROM ({source.sql}))
        """
    )
    here = f"FROM {table} WHERE domain = {domain}"
    rejected = RejectedLines(path, total=_value(db, f"SELECT count(*) {here}"))
    rows = db.execute(f"SELECT row + 1, reviewer {here} AND asin IS NULL ORDER BY row LIMIT {KEPT_LINES}").fetchall()
    if rows:
        for number, text in rows:
            rejected.add(number, "a value is missing or impossible", text or "")
        rejected.bad = _value(db, f"SELECT count(*) {here} AND asin IS NULL")
        db.execute(f"DELETE {here} AND asin IS NULL")
    if source.rejecting:
        _add_rejected(db, path, rejected)
    return rejected


def _add_rejected(db: duckdb.DuckDBPyConnection, path: Path, rejected: RejectedLines) -> None:
    """Lines that DuckDB could not make columns of."""
    count = _value(db, "SELECT count(DISTINCT line) FROM reject_errors")
    if count >= MOST_REJECTED:
        raise UserError(
            f"{count:,} lines or more are malformed",
            where=str(path),
            do="this is no file of ratings of the pair's `release`; bring the right one",
        )
    rejected.total += count
    rejected.bad += count - min(count, KEPT_LINES)
    rows = db.execute(
        f"""SELECT line, min(error_type), min(csv_line) FROM reject_errors
        GROUP BY line ORDER BY line LIMIT {KEPT_LINES}"""
    ).fetchall()
    for number, reason, text in rows:
        rejected.add(number, str(reason).lower(), text or "")


def _csv(path: Path, layout: Layout) -> Source:
    return Source(
        f"""
        SELECT asin, reviewer, rating, time // {layout.time_unit} AS time, row_number() OVER () AS number,
               concat_ws(', ', asin, reviewer, rating, time) AS line
        FROM {scan_csv(path, layout)}
        """,
        rejecting=True,
    )


def scan_csv(path: Path, layout: Layout) -> str:
    """SQL of the columns of a CSV of ratings as they stand in the file.

    No release quotes anything; were quotes read, one of them unbalanced would swallow what follows.
    """
    columns = ", ".join(f"{name}: {quoted(TYPES[name])}" for name in layout.columns)
    return f"""read_csv({quoted(path)}, header = {layout.header}, columns = {{{columns}}}, auto_detect = false,
        delim = ',', quote = '', escape = '', nullstr = '',
        store_rejects = true, rejects_limit = {MOST_REJECTED})"""


def _reviews(path: Path, layout: Layout) -> Source:
    """Full reviews, one JSON object a line; the keys differ between releases."""
    keys = ("parent_asin", "asin", "reviewerID", "user_id", "overall", "rating", "unixReviewTime", "timestamp")
    paths = ", ".join(f"'$.{key}'" for key in keys)
    return Source(
        f"""
        SELECT coalesce(found[1], found[2]) AS asin, coalesce(found[3], found[4]) AS reviewer,
               try_cast(coalesce(found[5], found[6]) AS FLOAT) AS rating,
               try_cast(coalesce(found[7], found[8]) AS BIGINT) // {layout.time_unit} AS time, number, line
        FROM (SELECT number, line, CASE WHEN json_valid(line) THEN json_extract_string(line, [{paths}]) END AS found
              FROM {read_lines(path)})
        """,
        rejecting=False,
    )


def _value(db: duckdb.DuckDBPyConnection, query: str) -> int:
    ((count,),) = db.execute(query).fetchall()
    return int(count)
