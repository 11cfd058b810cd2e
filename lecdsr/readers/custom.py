"""Reader of a custom catalogue: CSV or Parquet files whose columns are mapped in the pair's file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.config.pair import Custom
from lecdsr.core.database import second_connection
from lecdsr.core.errors import UserError
from lecdsr.readers.lines import LONGEST_LINE, MAX_REJECTED, RawRows, open_bytes, quoted, unreadable
from lecdsr.readers.metadata import Record
from lecdsr.readers.rejected import RejectedLines

# SQL that converts a column of times to seconds since 1970.
TIMES = {
    "seconds": "CAST(floor(try_cast({time} AS DOUBLE)) AS BIGINT)",
    "milliseconds": "CAST(floor(try_cast({time} AS DOUBLE) / 1000) AS BIGINT)",
    "microseconds": "CAST(floor(try_cast({time} AS DOUBLE) / 1000000) AS BIGINT)",
    # Times with a zone are converted to UTC; times without one are taken as UTC, the connection's time zone.
    "datetime": "CAST(floor(epoch(try_cast({time} AS TIMESTAMPTZ))) AS BIGINT)",
}


def custom_interactions(path: Path, custom: Custom) -> RawRows:
    """Return the SQL of the rows of an interactions file; see :class:`RawRows`.

    Raises:
        UserError: the file cannot be read, or lacks a column of the mapping.
    """
    mapping = custom.interactions
    wanted = {name: getattr(mapping, name) for name in ("user", "item", "time", "rating")}
    table = _table(path, custom.delimiter, {key: column for key, column in wanted.items() if column})
    user, item, time = (_name(wanted[key]) for key in ("user", "item", "time"))
    rating = f"try_cast({_name(mapping.rating)} AS FLOAT)" if mapping.rating else "5.0::FLOAT"
    return RawRows(
        f"""
        SELECT {item}::VARCHAR AS asin, {user}::VARCHAR AS reviewer, {rating} AS rating,
               {TIMES[mapping.time_unit].format(time=time)} AS time, row_number() OVER () AS number,
               concat_ws(', ', {user}, {item}, {time}) AS line
        FROM {table}
        """,
        rejecting=not _is_parquet(path),
    )


def custom_records(
    db: duckdb.DuckDBPyConnection, path: Path, custom: Custom, rejected: RejectedLines
) -> Iterator[Record]:
    """Yield the rows of an items file that have an id; the others are rejected.

    Raises:
        UserError: the file cannot be read, or lacks a column of the mapping.
    """
    mapping = custom.items
    assert mapping is not None
    names = ("item", "title", "brand", "categories", "description")
    columns = {name: column for name in names if (column := getattr(mapping, name))}
    table = _table(path, custom.delimiter, columns)
    chosen = ", ".join(f"{_name(column)} AS {name}" for name, column in columns.items())
    try:
        for row in _rows(second_connection(db).sql(f"SELECT {chosen} FROM {table}").to_arrow_reader(10_000)):
            rejected.total += 1
            if row["item"] in (None, ""):
                rejected.add(rejected.total, "no item", str(row))
                continue
            if mapping.category_separator and isinstance(row.get("categories"), str):
                row["categories"] = row["categories"].split(mapping.category_separator)
            yield rejected.total, str(row["item"]), lambda row=row: row  # type: ignore[misc]
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def _rows(batches: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _table(path: Path, delimiter: str, wanted: dict[str, str]) -> str:
    """Return the SQL that reads a file as a table, after checking that it has all ``wanted`` columns."""
    there = _columns(path, delimiter)
    missing = [f"{column!r} (for {key})" for key, column in wanted.items() if column not in there]
    if missing:
        raise UserError(
            f"the file has no column {', '.join(missing)}; it has {', '.join(map(repr, there))}",
            where=str(path),
            do="set the column names under `custom` in the pair's file",
            code="missing-column",
        )
    if _is_parquet(path):
        return f"read_parquet({quoted(path)})"
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in there)
    return f"""read_csv({quoted(path)}, header = true, columns = {{{columns}}}, auto_detect = false,
        delim = {quoted(delimiter)}, quote = '"', escape = '"', nullstr = '', max_line_size = {LONGEST_LINE},
        store_rejects = true, rejects_limit = {MAX_REJECTED})"""


def _columns(path: Path, delimiter: str) -> list[str]:
    """Return the names of the file's columns."""
    try:
        if _is_parquet(path):
            return list(pq.read_schema(path).names)
        with open_bytes(path) as file:
            header = file.readline(LONGEST_LINE).decode("utf-8-sig")
        return next(csv.reader([header], delimiter=delimiter), [])
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
