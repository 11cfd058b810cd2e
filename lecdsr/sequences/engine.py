"""Where the queries of this stage run: DuckDB on this machine, or Spark.

The queries are the SQL that both speak: semi and anti joins with ``USING``, ``count(*) FILTER (WHERE …)``,
``row_number() OVER``, ``CAST``. Raw files are always read by DuckDB, line by line and in little memory;
what does not fit one machine are joins and groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import duckdb
import pyarrow as pa

from lecdsr.core.database import another

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
        for batch in another(self.db).sql(query).to_arrow_reader(BATCH):
            yield pa.Table.from_batches([batch])


def choose(name: Literal["duckdb", "spark"], db: duckdb.DuckDBPyConnection, spill: Path) -> Engine:
    """The engine that the settings name.

    Raises:
        UserError: Spark is not installed, or there is no Java.
    """
    if name == "duckdb":
        return DuckDB(db)
    from lecdsr.sequences.spark import start

    return start(db, spill)
