"""Histories of held-out targets in the form that RecTools reads: padded on the left, by its own numbers of items.

Shape legend: T targets, L history length, N items, R interactions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lecdsr.core.arrays import expand
from lecdsr.data.sequences import Sequences

Array = NDArray[np.int64]


class PaddedHistories(NamedTuple):
    """Histories of targets.

    Args:
        items: ``[T, L]`` the library's numbers of the latest items, latest last; 0 is padding.
        times: ``[T, L+1]`` seconds of each of them and, last, of the target; padding has the time of the first item.
    """

    items: Array
    times: Array


def pad_histories(targets: Sequences, time: Array, numbers: Array, length: int) -> PaddedHistories:
    """Gather the latest items that the library knows before each target.

    Args:
        targets: windows whose last row is the target.
        time: ``[R]`` seconds of each interaction.
        numbers: ``[N]`` the library's number of each item; 0 if it does not know the item.
        length: history length L.
    """
    count = len(targets)
    target, row = expand(targets.start, targets.end - 1)
    known = numbers[targets.items[row]] > 0
    target, row = target[known], row[known]
    size = np.bincount(target, minlength=count)
    from_end = np.cumsum(size)[target] - 1 - np.arange(len(target))  # 0 is the latest
    read = from_end < length
    target, row, column = target[read], row[read], length - 1 - from_end[read]
    items, times = np.zeros((count, length), np.int64), np.zeros((count, length + 1), np.int64)
    items[target, column] = numbers[targets.items[row]]
    times[target, column] = time[row]
    times[:, length] = time[targets.target_row]
    first = length - np.minimum(size, length)  # column of the first item; that of the target without a history
    padding = np.arange(length + 1) < first[:, None]
    return PaddedHistories(items, np.where(padding, times[np.arange(count), first][:, None], times))
