"""Read the interactions of one domain into a DuckDB table."""

from __future__ import annotations

from pathlib import Path

import duckdb

from lecdsr.core.errors import UserError
from lecdsr.readers.custom import custom_interactions
from lecdsr.readers.layouts import Layout
from lecdsr.readers.lines import MAX_REJECTED, RawRows, quoted, read_lines, unreadable
from lecdsr.readers.rejected import KEPT_LINES, RejectedLines

TYPES = {"asin": "VARCHAR", "reviewer": "VARCHAR", "rating": "FLOAT", "time": "BIGINT"}


def read_ratings(
    db: duckdb.DuckDBPyConnection, path: Path, layout: Layout, table: str, domain: int = 0
) -> RejectedLines:
    """Append the interactions of one file to a table created by :func:`create_ratings`.

    ``time`` is in seconds; ``row`` increases with the line number in the file. Malformed lines, and lines with a time
    outside the release, are rejected and returned.

    Raises:
        UserError: the file cannot be read (a truncated gzip, for example), or lacks a column of the mapping.
    """
    if layout.custom is not None:
        rows_of_file = custom_interactions(path, layout.custom)
    else:
        rows_of_file = _reviews(path, layout) if ".json" in path.name else _csv(path, layout)
    try:
        return insert(db, path, rows_of_file, table, domain, layout.last_time)
    except duckdb.OutOfMemoryException:
        raise  # an error that the file did not cause
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def create_ratings(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create the empty table to which :func:`read_ratings` appends."""
    db.execute(
        f"""CREATE TABLE {table}
        (reviewer VARCHAR, domain TINYINT, asin VARCHAR, rating FLOAT, time UINTEGER, row UINTEGER)"""
    )


def insert(
    db: duckdb.DuckDBPyConnection, path: Path, rows_of_file: RawRows, table: str, domain: int, last_time: int
) -> RejectedLines:
    """Append the valid rows of a file to ``table``; return the rejected ones.

    Raises:
        duckdb.Error: the file cannot be read.
        UserError: more lines are malformed than can be listed.
    """
    db.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    good = f"coalesce(asin <> '' AND reviewer <> '' AND isfinite(rating) AND time >= 0 AND time < {last_time}, false)"
    # One pass over the file: a rejected row is inserted as its text, without an item, and deleted below.
    db.execute(
        f"""
        INSERT INTO {table}
        SELECT CASE WHEN good THEN reviewer ELSE line END, {domain}, CASE WHEN good THEN asin END,
               rating, CASE WHEN good THEN time END, number - 1
        FROM (SELECT *, {good} AS good FROM ({rows_of_file.sql}))
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
    if rows_of_file.rejecting:
        _add_rejected(db, path, rejected)
    return rejected


def _add_rejected(db: duckdb.DuckDBPyConnection, path: Path, rejected: RejectedLines) -> None:
    """Add the lines that DuckDB could not split into columns to the rejected ones."""
    count = _value(db, "SELECT count(DISTINCT line) FROM reject_errors")
    if count >= MAX_REJECTED:
        raise UserError(
            f"at least {count:,} lines are malformed: the file does not have the layout of the pair's release",
            where=str(path),
            do="correct `release` in the pair's file, or replace the raw file",
            code="rejected-lines",
        )
    rejected.total += count
    rejected.bad += count - min(count, KEPT_LINES)
    rows = db.execute(
        f"""SELECT line, min(error_type), min(csv_line) FROM reject_errors
        GROUP BY line ORDER BY line LIMIT {KEPT_LINES}"""
    ).fetchall()
    for number, reason, text in rows:
        rejected.add(number, str(reason).lower(), text or "")


def _csv(path: Path, layout: Layout) -> RawRows:
    return RawRows(
        f"""
        SELECT asin, reviewer, rating, time // {layout.time_unit} AS time, row_number() OVER () AS number,
               concat_ws(', ', asin, reviewer, rating, time) AS line
        FROM {scan_csv(path, layout)}
        """,
        rejecting=True,
    )


def scan_csv(path: Path, layout: Layout) -> str:
    """Return SQL that reads the columns of a ratings CSV.

    No release quotes values. If quotes were interpreted, an unbalanced one would swallow the lines after it.
    """
    columns = ", ".join(f"{name}: {quoted(TYPES[name])}" for name in layout.columns)
    return f"""read_csv({quoted(path)}, header = {layout.header}, columns = {{{columns}}}, auto_detect = false,
        delim = ',', quote = '', escape = '', nullstr = '',
        store_rejects = true, rejects_limit = {MAX_REJECTED})"""


def _reviews(path: Path, layout: Layout) -> RawRows:
    """Return SQL that reads full reviews, one JSON object per line; the keys differ between releases."""
    keys = ("parent_asin", "asin", "reviewerID", "user_id", "overall", "rating", "unixReviewTime", "timestamp")
    paths = ", ".join(f"'$.{key}'" for key in keys)
    return RawRows(
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
