"""Read text files line by line, in DuckDB or in Python (for JSON and Python dictionaries)."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from lecdsr.core.errors import UserError

# Longest line that is read, in bytes; a longer one is malformed and never held in memory.
LONGEST_LINE = 1 << 24
# Malformed lines that DuckDB records per file; a file with more probably has another layout.
MAX_REJECTED = 1_000_000


class RawRows(NamedTuple):
    """SQL that selects the rows of an interactions file as ``(asin, reviewer, rating, time, number, line)``.

    ``time`` is in seconds, ``number`` counts from 1, ``line`` is the row as text, for rejected lines.
    ``rejecting``: DuckDB itself rejects lines with wrong columns.
    """

    sql: str
    rejecting: bool


def read_lines(path: Path) -> str:
    """Return SQL for the non-empty lines of a plain or gzipped file as a table ``(number, line)``, numbered from 1.

    It uses the CSV reader with a separator that JSON cannot contain unescaped, so that every line is one column.
    """
    return f"""(
        SELECT row_number() OVER () AS number, line
        FROM read_csv({quoted(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,
                      delim = '\x1f', quote = '', escape = '', max_line_size = {LONGEST_LINE}, strict_mode = false)
        WHERE line IS NOT NULL
    )"""


def quoted(text: object) -> str:
    """Return ``text`` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def iterate_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield the non-empty lines of a plain or gzipped file, numbered from 1; ``None`` for a line that is too long.

    Raises:
        UserError: the file cannot be read to its end.
    """
    try:
        with open_bytes(path) as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_rest(file)
                    yield number, None
                elif not line.isspace():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or gzipped file for reading; gzip is decompressed while it is read."""
    if path.suffix == ".gz":
        # Cast because GzipFile is not typed as IO[bytes].
        return cast("IO[bytes]", io.BufferedReader(gzip.GzipFile(path), 1 << 20))
    return open(path, "rb", buffering=1 << 20)


def _skip_rest(file: IO[bytes]) -> None:
    while (piece := file.readline(LONGEST_LINE)) and not piece.endswith(b"\n"):
        pass


def unreadable(path: Path, error: Exception) -> UserError:
    """Build the error for a raw file that cannot be read to its end."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    do = "download the file again; it may be truncated"
    return UserError(f"the raw file cannot be read: {first}", where=str(path), do=do, code="broken-file")
