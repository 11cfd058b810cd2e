"""DuckDB connections with bounded memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lecdsr.core.console import console
from lecdsr.core.errors import UserError

# Less than 4 GB in total with Python and Arrow, so that a laptop has memory left for other work.
MEMORY_LIMIT = "2500MB"


@contextmanager
def connect(spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection with bounded memory, which spills to the folder ``spill``.

    ``LECDSR_MEMORY_LIMIT`` and ``LECDSR_THREADS`` set memory and threads on this machine; neither changes a result.

    Raises:
        UserError: a variable has a value that DuckDB refuses, or memory or disk are too small.
    """
    spill.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect() as db:
            _configure(db, spill)
            _progress_only_on_terminal(db)
            yield db
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"not enough memory or disk space: {str(error).splitlines()[0]}",
            where=str(spill),
            do="raise LECDSR_MEMORY_LIMIT (for example 8GB), lower LECDSR_THREADS, or free space on the disk",
            code="not-enough-memory",
        ) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _configure(db: duckdb.DuckDBPyConnection, spill: Path) -> None:
    options = {"memory_limit": os.environ.get("LECDSR_MEMORY_LIMIT") or MEMORY_LIMIT, "temp_directory": str(spill)}
    if threads := os.environ.get("LECDSR_THREADS"):
        options["threads"] = threads
    for name, value in {**options, "TimeZone": "UTC"}.items():
        try:
            # Set globally, so that it also holds for cursors, which are separate connections.
            db.execute(f"SET GLOBAL {name} = $value", {"value": value})
        except duckdb.Error as error:
            raise UserError(
                f"the value {value!r} is refused: {str(error).splitlines()[0]}",
                where=f"LECDSR_{name.upper()}",
                do="set a number of threads" if name == "threads" else "set a size such as 4GB",
                code="wrong-value",
            ) from error


def second_connection(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Open a second connection to the same database, so that other queries can run while a result is read."""
    cursor = db.cursor()
    _progress_only_on_terminal(cursor)
    return cursor


def _progress_only_on_terminal(db: duckdb.DuckDBPyConnection) -> None:
    """Disable DuckDB's progress bar where the output is not a terminal."""
    db.execute(f"SET enable_progress_bar = {console.is_terminal}")
