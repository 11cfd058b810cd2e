"""Read a table of texts from a CSV, TSV or Parquet file, after checking that it is the recorded file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from lecdsr.ask.settings import TextTable
from lecdsr.core.errors import UserError, did_you_mean
from lecdsr.core.files import sha256_file
from lecdsr.core.paths import store_root

#: Role of the column of times; all other columns hold text.
AS_OF = "as_of"
# Later than any date, unless the time is in milliseconds.
_FAR = 100_000_000_000


def check_recorded(table: TextTable, where: str) -> Path:
    """Return the path of a table of texts if it is the recorded file.

    Raises:
        UserError: the file is missing, its checksum is not recorded, or it is another one.
    """
    path = _find(str(table.path), where)
    _check_sum(path, table.sha256, where)
    return path


def read_text_table(table: TextTable, where: str, columns: Mapping[str, str]) -> pa.Table:
    """Read the columns of a table of texts.

    Args:
        table: settings of the table, whose path is not null.
        where: key of these settings, such as ``ask.items``, for messages.
        columns: name of the column by its role.

    Returns:
        One column per role: whole numbers for ``as_of``, text without nulls for all others.

    Raises:
        UserError: the file is missing, is not the recorded one, cannot be read, or lacks a column.
    """
    path = check_recorded(table, where)
    try:
        found = _names(path)
        _check_columns(found, columns, path, where)
        raw = _read(path, list(dict.fromkeys(columns.values())))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise UserError(
            f"the table cannot be read ({' '.join(str(error).split())[:300]})",
            where=str(path),
            do="write it again as UTF-8, with a header and one line per text, or as Parquet",
            code="broken-file",
        ) from error
    arrays = [_typed(raw[name], role, name, path) for role, name in columns.items()]
    return pa.table(arrays, names=list(columns))


def _find(name: str, where: str) -> Path:
    """Return the path of the file; in a clone of the repository, that of the original."""
    for path in (Path(name), store_root() / name):
        if path.is_file():
            return path
    raise UserError(
        "there is no such table of texts",
        where=f"{where}.path: {name}",
        do="put the file there, correct the path, or set ask.provider to offline",
        code="missing-file",
    )


def _check_sum(path: Path, recorded: str | None, where: str) -> None:
    found = sha256_file(path)
    if recorded is None:
        raise UserError(
            "the table has no recorded checksum, so a changed table would not be noticed",
            where=f"{where}.sha256",
            do=f"add this line under {where}:\n         sha256: {found}",
            code="no-checksum",
        )
    if found != recorded:
        raise UserError(
            f"the table differs from its recorded checksum: the file {path} has {found}, recorded is {recorded}",
            where=f"{where}.sha256",
            do=f"restore the recorded file; if the table was changed on purpose, set `sha256: {found}`",
            code="changed-table",
        )


def _names(path: Path) -> list[str]:
    if path.name.endswith(".parquet"):
        return list(pq.read_schema(path).names)
    with pacsv.open_csv(path, parse_options=_parsing(path)) as reader:
        return list(reader.schema.names)


def _check_columns(found: Sequence[str], columns: Mapping[str, str], path: Path, where: str) -> None:
    for role, name in columns.items():
        if found.count(name) != 1:
            wrong = "has more than one column" if name in found else "lacks the column"
            hint = "" if name in found else did_you_mean(name, found)
            raise UserError(
                f"the table {wrong} {name!r}{hint}; its columns are {', '.join(found)}",
                where=str(path),
                do=f"name the column in {where}.{role.partition('_')[0] if role.startswith('next') else role}",
                code="missing-column",
            )


def _parsing(path: Path) -> pacsv.ParseOptions:
    return pacsv.ParseOptions(delimiter="\t" if ".tsv" in path.suffixes[-2:] else ",", newlines_in_values=True)


def _read(path: Path, names: Sequence[str]) -> pa.Table:
    if path.name.endswith(".parquet"):
        return pq.read_table(path, columns=list(names))
    as_text = pacsv.ConvertOptions(
        include_columns=names, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
    )
    return pacsv.read_csv(path, parse_options=_parsing(path), convert_options=as_text)


def _typed(column: pa.ChunkedArray, role: str, name: str, path: Path) -> pa.ChunkedArray:
    """Convert a column to whole numbers or to text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if role == AS_OF:
        return _times(column, name, path)
    plain = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not (plain or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise _wrong_type(name, column.type, "text", path)
    return pc.fill_null(column.cast(pa.string()), "")


def _times(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        whole = pc.match_substring_regex(column, r"^-?\d{1,18}$")
    elif pa.types.is_integer(column.type):
        whole = pc.is_valid(column)
    else:
        raise _wrong_type(name, column.type, "whole seconds since 1970", path)
    whole = pc.fill_null(whole, False)
    if not pc.all(whole, min_count=0).as_py():
        example = column.filter(pc.invert(whole))[0].as_py()
        raise _wrong_time(name, example, "whole seconds since 1970", path)
    times = column.cast(pa.int64())
    latest = pc.max(times).as_py()
    if latest is not None and latest > _FAR:
        raise _wrong_time(name, latest, "seconds since 1970, not milliseconds", path)
    return times


def _wrong_time(name: str, value: object, expected: str, path: Path) -> UserError:
    what = f"the column {name!r} holds {value!r}, expected {expected}"
    return UserError(what, where=str(path), do="correct the times in the table", code="wrong-time")


def _wrong_type(name: str, kind: pa.DataType, expected: str, path: Path) -> UserError:
    what = f"the column {name!r} has the type {kind}, expected {expected}"
    return UserError(what, where=str(path), do="convert the column, or name another one", code="wrong-type")
