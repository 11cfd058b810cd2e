"""Write files atomically, so that each is complete or absent, and check them when reading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.errors import UserError

# Large enough for fast sequential reads, small enough to stream; constant, so that the same rows give the same bytes.
ROW_GROUP = 65_536


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` if the block succeeds.

    The temporary file is removed if the block raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write indented JSON with keys in the given order; NaN is refused, because DVC would always report a change."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    try:
        value: Any = json.loads(require(path).read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not text
        raise UserError(
            f"the file is not valid JSON ({error})", where=str(path), do=REBUILD, code="broken-file"
        ) from error
    if not isinstance(value, dict):
        raise UserError("the file does not hold a JSON object", where=str(path), do=REBUILD, code="broken-file")
    return value


REBUILD = "run `dvc repro` to rebuild it"


def require(path: Path, do: str = REBUILD) -> Path:
    """Return ``path`` if it exists.

    Raises:
        UserError: it does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise UserError("a file is missing", where=str(path), do=do, code="missing-file")
    return path


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write a Parquet file with exactly ``schema``; the same table gives the same bytes.

    Raises:
        ValueError: the table does not have the columns of the schema.
    """
    with table_writer(path, schema) as write:
        write(table)


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends tables to a Parquet file with exactly ``schema``.

    The bytes depend only on the rows, not on how they are split into tables. The file appears if the block succeeds.

    Raises:
        ValueError: a table does not have the columns of the schema.
    """
    with atomic_path(path) as temporary, _parquet(temporary, schema) as parquet:
        waiting: list[pa.Table] = []

        def write(table: pa.Table) -> None:
            if table.column_names != schema.names:
                raise ValueError(f"{path}: columns {table.column_names}, expected {schema.names}")
            waiting.append(table.cast(schema).replace_schema_metadata(None))
            rows = sum(map(len, waiting))
            if rows < ROW_GROUP:
                return
            whole = pa.concat_tables(waiting)
            waiting.clear()
            full = rows - rows % ROW_GROUP
            parquet.write_table(whole.slice(0, full).combine_chunks(), row_group_size=ROW_GROUP)
            waiting.append(whole.slice(full))

        yield write
        rest = pa.concat_tables([schema.empty_table(), *waiting]).combine_chunks()
        if len(rest):
            parquet.write_table(rest, row_group_size=ROW_GROUP)


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression=_compression(schema),
        use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        store_schema=True,
    )


def _compression(schema: pa.Schema) -> str:
    # Float vectors do not compress, and load three to four times faster without compression.
    vectors = any(pa.types.is_fixed_size_list(field.type) for field in schema)
    return "none" if vectors else "zstd"


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file and check that it has the columns of ``schema``.

    Raises:
        UserError: the file is missing, broken, or has other columns.
    """
    require(path)
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise broken_parquet(path, error) from error
    expected = columns or schema.names
    if table.column_names != expected:
        raise wrong_columns(path, table.column_names, expected)
    return table.combine_chunks()


def broken_parquet(where: object, error: Exception, do: str = REBUILD) -> UserError:
    """Build the error for a table that Parquet cannot read; ``where`` names the file."""
    return UserError(f"the file is not readable Parquet ({error})", where=str(where), do=do, code="broken-file")


def wrong_columns(where: object, found: Sequence[str], expected: Sequence[str], do: str = REBUILD) -> UserError:
    """Build the error for a table whose columns are not the expected ones; ``where`` names the file."""
    what = f"the table has the columns {', '.join(found)}; expected {', '.join(expected)}"
    return UserError(what, where=str(where), do=do, code="wrong-columns")


def sha256_file(path: Path) -> str:
    """Compute the hexadecimal SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
