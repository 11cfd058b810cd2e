"""Text files line by line inside DuckDB."""

from __future__ import annotations

from pathlib import Path


def read_lines(path: Path) -> str:
    """SQL of a table ``(number, line)`` of the non-empty lines of a plain or gzipped file, from 1.

    The CSV reader with a separator that JSON cannot hold unescaped reads any line as one column.
    """
    quoted = str(path).replace("'", "''")
    return f"""(
        SELECT row_number() OVER () AS number, line
        FROM read_csv('{quoted}', columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false,
                      delim = '\x1f', quote = '', escape = '', max_line_size = 16777216, strict_mode = false)
        WHERE line IS NOT NULL
    )"""
