"""Array operations on ragged rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def expand(start: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
    """Return all (interval, row) pairs of the half-open intervals ``start`` … ``end``-1, in order."""
    size = end - start
    interval = np.repeat(np.arange(len(start)), size)
    row: IntArray = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
    return interval, row
