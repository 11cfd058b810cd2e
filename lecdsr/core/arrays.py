"""Array operations on rows of different lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def expand(start: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
    """Expand half-open intervals ``start`` … ``end``-1 into all (interval, row) pairs, in order."""
    size = end - start
    interval = np.repeat(np.arange(len(start)), size)
    row: IntArray = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
    return interval, row
