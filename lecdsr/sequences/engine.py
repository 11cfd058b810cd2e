"""Query engines of the stage ``sequences``: DuckDB on this machine, or Spark.

The queries use only SQL that both support: semi and anti joins with ``USING``, ``count(*) FILTER (WHERE …)``,
``row_number() OVER``, ``CAST``. DuckDB always reads the raw files, line by line and in little memory; only joins and
groups can exceed one machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import duckdb
import pyarrow as pa

from lecdsr.core.database import second_connection

# Rows per table yielded.
BATCH = 1 << 20


class Engine(Protocol):
    """Interface of an engine, which holds named tables and runs SQL queries over them."""

    def replace(self, table: str, query: str) -> None:
        """Replace ``table`` with the result of ``query``, which may read the previous content of the table."""

    def drop(self, table: str) -> None:
        """Delete ``table``."""

    def row(self, query: str) -> tuple[int, ...]:
        """Return the only row of a query that selects integers."""

    def batches(self, query: str) -> Iterator[pa.Table]:
        """Yield the rows of a query in order, some at a time."""


def rows(engine: Engine, table: str) -> int:
    """Return the number of rows of a table."""
    return engine.row(f"SELECT count(*) FROM {table}")[0]


class DuckDB:
    """Engine that runs DuckDB on this machine."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db

    def replace(self, table: str, query: str) -> None:
        """Implement :meth:`Engine.replace`."""
        self.db.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")

    def drop(self, table: str) -> None:
        """Implement :meth:`Engine.drop`."""
        self.db.execute(f"DROP TABLE {table}")

    def row(self, query: str) -> tuple[int, ...]:
        """Implement :meth:`Engine.row`."""
        (found,) = self.db.execute(query).fetchall()
        return tuple(int(value) for value in found)

    def batches(self, query: str) -> Iterator[pa.Table]:
        """Implement :meth:`Engine.batches`."""
        # A separate connection, so that other queries can run while the rows are read.
        for batch in second_connection(self.db).sql(query).to_arrow_reader(BATCH):
            yield pa.Table.from_batches([batch])


def choose_engine(name: Literal["duckdb", "spark"], db: duckdb.DuckDBPyConnection, spill: Path) -> Engine:
    """Create the engine named in the settings.

    Raises:
        UserError: Spark is not installed, or there is no Java.
    """
    if name == "duckdb":
        return DuckDB(db)
    from lecdsr.sequences.spark import start_spark

    return start_spark(db, spill)
