"""Where the queries of this stage run: DuckDB on this machine, or Spark.

The queries are the SQL that both speak: semi and anti joins with ``USING``, ``count(*) FILTER (WHERE …)``,
``row_number() OVER``, ``CAST``. Raw files are always read by DuckDB, line by line and in little memory;
what does not fit one machine are joins and groups.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import duckdb
import pyarrow as pa

from lecdsr.base.console import console
from lecdsr.base.errors import UserError

# Together with Python and Arrow less than 4 GB, so that a laptop has room for other work.
MEMORY_LIMIT = "2500MB"
# Rows handed on at once.
BATCH = 1 << 20


class Engine(Protocol):
    """Named tables, and queries over them."""

    def replace(self, table: str, query: str) -> None:
        """Make ``table`` the result of ``query``, which may read the table's former state."""

    def drop(self, table: str) -> None:
        """Forget ``table``."""

    def row(self, query: str) -> tuple[int, ...]:
        """The one row of a query, whole numbers all."""

    def batches(self, query: str) -> Iterator[pa.Table]:
        """The rows of a query in its order, some at a time."""


def rows(engine: Engine, table: str) -> int:
    """Number of rows of a table."""
    return engine.row(f"SELECT count(*) FROM {table}")[0]


class DuckDB:
    """The engine on this machine."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db

    def replace(self, table: str, query: str) -> None:
        """See :class:`Engine`."""
        self.db.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")

    def drop(self, table: str) -> None:
        """See :class:`Engine`."""
        self.db.execute(f"DROP TABLE {table}")

    def row(self, query: str) -> tuple[int, ...]:
        """See :class:`Engine`."""
        (found,) = self.db.execute(query).fetchall()
        return tuple(int(value) for value in found)

    def batches(self, query: str) -> Iterator[pa.Table]:
        """See :class:`Engine`."""
        # A connection of its own, so that others may work while the rows are read.
        for batch in self.db.cursor().sql(query).to_arrow_reader(BATCH):
            yield pa.Table.from_batches([batch])


@contextmanager
def connect(spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with a bounded memory, which spills to the folder ``spill``.

    ``LECDSR_MEMORY_LIMIT`` and ``LECDSR_THREADS`` set memory and threads for this machine; neither
    changes a result.

    Raises:
        UserError: one of them has a value that DuckDB refuses, or memory or disk do not suffice.
    """
    spill.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect() as db:
            _configure(db, spill)
            yield db
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"memory or disk did not suffice: {str(error).splitlines()[0]}",
            where=str(spill),
            do="give more with LECDSR_MEMORY_LIMIT=8GB, fewer LECDSR_THREADS, or more room on the disk",
        ) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _configure(db: duckdb.DuckDBPyConnection, spill: Path) -> None:
    options = {"memory_limit": os.environ.get("LECDSR_MEMORY_LIMIT") or MEMORY_LIMIT, "temp_directory": str(spill)}
    options["enable_progress_bar"] = str(console.is_terminal)
    if threads := os.environ.get("LECDSR_THREADS"):
        options["threads"] = threads
    for name, value in {**options, "TimeZone": "UTC"}.items():
        try:
            db.execute(f"SET {name} = $value", {"value": value})
        except duckdb.Error as error:
            raise UserError(
                f"{value!r} is no {name.replace('_', ' ')}: {str(error).splitlines()[0]}",
                where=f"LECDSR_{name.upper()}",
                do="set a size such as 4GB, or a number of threads",
            ) from error


def choose(name: Literal["duckdb", "spark"], db: duckdb.DuckDBPyConnection, spill: Path) -> Engine:
    """The engine that the settings name.

    Raises:
        UserError: Spark is not installed, or there is no Java.
    """
    if name == "duckdb":
        return DuckDB(db)
    from lecdsr.sequences.spark import start

    return start(db, spill)
