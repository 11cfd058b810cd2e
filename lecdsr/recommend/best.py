"""The items with the highest scores, ties broken by lower id, over all items at once or block by block.

Shape legend: B users, N items of a block, k best items.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Neighbouring columns of a group, of which only the highest score is compared at first, on a processor.
_GROUP = 128
#: Fewest groups for each recommendation that make the detour worth it.
_WORTH = 4


class Best(NamedTuple):
    """Scores and ids ``[B, k]``, the best first; items of the same score are in the order of their ids."""

    scores: Tensor
    items: Tensor


def best_of(scores: Tensor, k: int, first: int = 0) -> Best:
    """Return the ``k`` columns with the highest scores of every row; of equal scores the lower columns.

    ``torch.topk`` finds the right scores, but any of several equal ones. Rows in which the last place is shared are
    therefore looked through again.

    On a processor ``torch.topk`` takes half as long as the product of queries and keys. The highest score of each group
    of columns is found five times as fast, and the ``k`` best columns are in the ``k`` groups with the highest of these
    (in the lower groups if equal): any other group has ``k`` columns above it, one in each of those.

    Args:
        scores: ``[B, N]`` scores; ``-inf`` excludes an item, and excluded items come last in any order.
        k: number of items; a block of fewer gives all of them.
        first: id of the item in column 0.

    Returns:
        ``[B, min(k, N)]`` scores and ids.
    """
    size = scores.shape[1]
    k = min(k, size)
    if scores.device.type == "cpu" and size >= _WORTH * k * _GROUP:
        columns = _columns_of_best_groups(scores, k)
        best = best_of(scores.gather(1, columns), k)
        return Best(best.scores, columns.gather(1, best.items) + first)
    values, columns = torch.topk(scores, min(k + 1, size), dim=1)
    if size > k:
        last, next_one = values[:, k - 1], values[:, k]
        shared = torch.nonzero((last == next_one) & (last > float("-inf"))).squeeze(1)  # [R]
        values, columns = values[:, :k], columns[:, :k]
        if len(shared):
            columns = columns.index_copy(0, shared, _lowest(scores[shared], values[shared], columns[shared]))
    return _in_order(values, columns + first)


def _columns_of_best_groups(scores: Tensor, k: int) -> Tensor:
    """``[B, k * _GROUP + R]`` columns of the ``k`` best groups and the R columns after the last group, ascending."""
    users, size = scores.shape
    end = size // _GROUP * _GROUP
    highest = scores[:, :end].view(users, end // _GROUP, _GROUP).amax(dim=2)  # [B, groups]
    groups = best_of(highest, k).items.sort(dim=1).values  # [B, k]
    inside = torch.arange(_GROUP, device=scores.device)
    columns = (groups.unsqueeze(2) * _GROUP + inside).flatten(1)
    rest = torch.arange(end, size, device=scores.device).expand(users, -1)
    return torch.cat([columns, rest], dim=1)


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
    greater = (values != last).sum(dim=1, keepdim=True)  # [R, 1] places that are not shared; NaN is above all
    place = torch.arange(k, device=scores.device).expand_as(columns)
    return torch.where(place < greater, columns, lowest.gather(1, (place - greater).clamp(min=0)))


def _in_order(values: Tensor, items: Tensor) -> Best:
    """Sort by score, the highest first, and equal scores by id."""
    items, order = items.sort(dim=1)
    values, place = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return Best(values, items.gather(1, place))
