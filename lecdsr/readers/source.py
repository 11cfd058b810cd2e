"""What every reader of interactions hands to the one that stores them."""

from __future__ import annotations

from typing import NamedTuple

# Malformed lines that DuckDB keeps of one file; a file with more of them is not what it is said to be.
MOST_REJECTED = 1_000_000


class Source(NamedTuple):
    """SQL of the rows of one file: a table ``(asin, reviewer, rating, time, number, line)``.

    ``time`` is in seconds, ``number`` counts from 1, ``line`` is the row as text, for malformed ones.
    ``rejecting``: DuckDB itself sets lines of the wrong shape aside.
    """

    sql: str
    rejecting: bool
