"""The items with the highest scores, ties broken by lower id, over all items at once or block by block.

Shape legend: B users, N items of a block, k best items.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Best(NamedTuple):
    """Scores and ids ``[B, k]``, the best first; items of the same score are in the order of their ids."""

    scores: Tensor
    items: Tensor


def best_of(scores: Tensor, k: int, first: int = 0) -> Best:
    """Return the ``k`` columns with the highest scores of every row; of equal scores the lower columns.

    ``torch.topk`` finds the right scores, but any of several equal ones. Rows in which the last place is shared are
    therefore looked through again.

    Args:
        scores: ``[B, N]`` scores; ``-inf`` excludes an item, and excluded items come last in any order.
        k: number of items; a block of fewer gives all of them.
        first: id of the item in column 0.

    Returns:
        ``[B, min(k, N)]`` scores and ids.
    """
    size = scores.shape[1]
    k = min(k, size)
    values, columns = torch.topk(scores, min(k + 1, size), dim=1)
    if size > k:
        last, next_one = values[:, k - 1], values[:, k]
        shared = torch.nonzero((last == next_one) & (last > float("-inf"))).squeeze(1)  # [R]
        values, columns = values[:, :k], columns[:, :k]
        if len(shared):
            columns = columns.index_copy(0, shared, _lowest(scores[shared], values[shared], columns[shared]))
    return _in_order(values, columns + first)


def merge(before: Best, block: Best, k: int) -> Best:
    """Return the ``k`` best of two blocks; the ids of ``before`` must be lower than those of ``block``."""
    scores, items = (torch.cat(parts, dim=1) for parts in zip(before, block, strict=True))
    # Both are in order, so a stable sort keeps equal scores in the order of their ids.
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return Best(scores[:, :k], items.gather(1, order)[:, :k])


def _lowest(scores: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """Replace the columns that share the last place by the lowest columns with that score: ``[R, k]``."""
    k, last = values.shape[1], values[:, -1:]
    every = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)
    lowest = torch.where(scores == last, every, scores.shape[1])  # [R, N]
    lowest = lowest.topk(k, dim=1, largest=False).values.long()  # [R, k] ascending
    greater = (values > last).sum(dim=1, keepdim=True)  # [R, 1] places that are not shared
    place = torch.arange(k, device=scores.device).expand_as(columns)
    return torch.where(place < greater, columns, lowest.gather(1, (place - greater).clamp(min=0)))


def _in_order(values: Tensor, items: Tensor) -> Best:
    """Sort by score, the highest first, and equal scores by id."""
    items, order = items.sort(dim=1)
    values, place = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return Best(values, items.gather(1, place))
