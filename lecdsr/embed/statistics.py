"""How much the profiles of different users differ: one that says the same of everybody carries nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_cosine(rows: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs of different rows of ``[n, width]``, rows of length 1; 0 for fewer than two.

    The squared length of the sum of all rows is n plus twice the sum over all pairs.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    total = rows.sum(axis=0, dtype=np.float64)
    return round(float((total @ total - count) / (count * (count - 1))), 6)


def share_of_duplicates(texts: Sequence[str]) -> float:
    """Share of texts that another one equals; 0 where there are none."""
    twice = sum(number for number in Counter(texts).values() if number > 1)
    return round(twice / len(texts), 6) if texts else 0.0
