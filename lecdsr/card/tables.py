"""The tables of a pair as views over their Parquet files, so that no table is ever loaded whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.database import connect
from lecdsr.core.errors import UserError
from lecdsr.core.files import REBUILD, require
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS, WINDOWS


@contextmanager
def open_tables(artefacts: Artefacts) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to ``items``, ``users``, ``interactions`` and ``windows``.

    Interactions have a further column ``position``, their row number, which the windows point at.
    What does not fit into the memory goes to a temporary folder beside the tables.

    Raises:
        UserError: a table is missing, broken, or has other columns; or the memory does not suffice even so.
    """
    with connect(artefacts.root / ".spill") as db:
        _view(db, "items", artefacts.items, ITEMS)
        _view(db, "users", artefacts.users, USERS)
        _view(db, "windows", artefacts.windows, WINDOWS)
        _view(db, "interactions", artefacts.interactions, INTERACTIONS, ", file_row_number AS position")
        yield db


def _view(db: duckdb.DuckDBPyConnection, name: str, path: Path, schema: pa.Schema, extra: str = "") -> None:
    try:
        columns = pq.read_schema(require(path)).names
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not a readable Parquet file ({error})", where=str(path), do=REBUILD) from error
    if columns != schema.names:
        raise UserError(f"columns are {columns}, expected {schema.names}", where=str(path), do=REBUILD)
    names = ", ".join(f'"{column}"' for column in columns)
    file = path.as_posix().replace("'", "''")
    db.execute(f"CREATE VIEW {name} AS SELECT {names}{extra} FROM read_parquet('{file}', file_row_number=true)")
