"""The best items of every test target under full ranking, collected while the targets are ranked.

Shape legend: W windows, T test targets, B windows of a batch, k items of a list.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.arrays import IntArray
from lecdsr.core.schemas import LISTS, TEST
from lecdsr.data.sequences import Sequences
from lecdsr.recommend.best import best_of

#: Items of a list.
TOP = 10
#: Marks the places of a list that has fewer items.
NONE = -1

#: Items of each list, best first, ``[T, k]``.
Lists = NDArray[np.int32]


class TopItems:
    """Keeps the best items of test windows; an observer of :func:`lecdsr.evaluate.ranks.rank_targets`.

    These are the items of the full ranking itself: history items are excluded if the ranking excludes them, the target
    never is, and items of equal scores are in the order of their ids.

    Args:
        sequences: windows that are ranked.
        n_x: number of items of domain X.
        k: items of a list.
    """

    def __init__(self, sequences: Sequences, n_x: int, k: int = TOP) -> None:
        self.items: Lists = np.full((len(sequences), k), NONE, np.int32)  # [W, k]
        self._sequences, self._n_x = sequences, n_x
        self._test = sequences.split == TEST
        self._first = np.where(sequences.target >= n_x, n_x, 0)

    def table(self) -> pa.Table:
        """Make the table ``LISTS`` of the test windows."""
        return to_table(self._sequences.take(self._test), self._n_x, self.items[self._test])

    def __call__(self, windows: IntArray, scores: Tensor) -> None:
        """Keep the best items of a batch of one domain."""
        rows = np.flatnonzero(self._test[windows])
        if not len(rows):
            return
        chosen = scores if len(rows) == len(windows) else scores[torch.from_numpy(rows).to(scores.device)]
        best = best_of(chosen, self.items.shape[1], int(self._first[windows[0]]))
        items = best.items.masked_fill(best.scores == float("-inf"), NONE)  # [B, k], or less in a small domain
        self.items[windows[rows], : items.shape[1]] = items.cpu().numpy()


def to_table(targets: Sequences, n_x: int, items: Lists) -> pa.Table:
    """Make the table ``LISTS``.

    Args:
        targets: the T test windows.
        n_x: number of items of domain X.
        items: ``[T, k]``, :data:`NONE` at the end of shorter lists.
    """
    kept = items != NONE
    offsets = np.append(0, np.cumsum(kept.sum(axis=1))).astype(np.int32)
    columns = {
        "user": targets.user,
        "domain": (targets.target >= n_x).astype(np.int8),
        "target": targets.target,
        "items": pa.ListArray.from_arrays(pa.array(offsets), pa.array(items[kept])),
    }
    return pa.table(columns).cast(LISTS)


def to_array(table: pa.Table) -> Lists:
    """Return the lists of a table ``LISTS``, ``[T, k]`` with the k of the longest, filled up with :data:`NONE`."""
    column = table["items"].combine_chunks()
    sizes = np.diff(column.offsets.to_numpy())
    items = np.full((len(sizes), int(sizes.max(initial=0))), NONE, np.int32)
    items[np.arange(items.shape[1]) < sizes[:, None]] = column.flatten().to_numpy()
    return items
