"""Text files line by line: inside DuckDB, and in Python where a line is more than columns."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from lecdsr.core.errors import UserError

# The longest line that is read; one longer is malformed, and never held in memory.
LONGEST_LINE = 1 << 24


def read_lines(path: Path) -> str:
    """SQL of a table ``(number, line)`` of the non-empty lines of a plain or gzipped file, from 1.

    The CSV reader with a separator that JSON cannot hold unescaped reads any line as one column.
    """
    return f"""(
        SELECT row_number() OVER () AS number, line
        FROM read_csv({quoted(path)}, columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,
                      delim = '\x1f', quote = '', escape = '', max_line_size = {LONGEST_LINE}, strict_mode = false)
        WHERE line IS NOT NULL
    )"""


def quoted(text: object) -> str:
    """``text`` as a string of SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def iterate_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The non-empty lines of a plain or gzipped file with their numbers, from 1; ``None`` for one too long.

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
    """A plain or gzipped file, unpacked as it is read."""
    if path.suffix == ".gz":
        # Typed as the reader it holds, whose lines it hands on.
        return cast("IO[bytes]", io.BufferedReader(gzip.GzipFile(path), 1 << 20))
    return open(path, "rb", buffering=1 << 20)


def _skip_rest(file: IO[bytes]) -> None:
    while (piece := file.readline(LONGEST_LINE)) and not piece.endswith(b"\n"):
        pass


def unreadable(path: Path, error: Exception) -> UserError:
    """The message for a raw file that cannot be read to its end."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return UserError(f"cannot be read: {first}", where=str(path), do="bring the file anew; it may be cut short")
