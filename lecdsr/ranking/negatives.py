"""Negatives drawn on the device, by the step, from a seeded generator."""

from __future__ import annotations

import torch
from torch import Tensor

from lecdsr.base.errors import UserError


def draw_negatives(
    target: Tensor,
    count: int,
    n_x: int,
    n_y: int,
    generator: torch.Generator,
    excluded: Tensor | None = None,
) -> Tensor:
    """Uniform items of each target's domain, with replacement, never the target itself.

    Args:
        target: ``[B]`` item ids.
        count: negatives for each target.
        n_x: items of domain X.
        n_y: items of domain Y.
        generator: source of randomness, on the device of ``target``.
        excluded: ``[B, L]`` items that are drawn again (three times at most: a rare rest may stay).

    Returns:
        ``[B, count]`` item ids.

    Raises:
        UserError: a domain has a single item, so that its target has no negative.
    """
    if min(n_x, n_y) < 2:
        raise UserError("a domain of one item has no negatives", where="sequences", do="loosen the filters")
    in_x = (target < n_x).unsqueeze(1)  # [B, 1]
    size = torch.where(in_x, n_x, n_y) - 1
    offset = torch.where(in_x, 0, n_x)

    def draw() -> Tensor:
        uniform = torch.rand(len(target), count, generator=generator, device=target.device, dtype=torch.float64)
        items = (uniform * size).long() + offset
        return items + (items >= target.unsqueeze(1))  # skip the target: uniform over the others

    items = draw()
    for _ in range(0 if excluded is None else 3):
        clash = _contains(excluded, items)
        items = torch.where(clash, draw(), items)
    return items


def _contains(sets: Tensor | None, items: Tensor) -> Tensor:
    """``[B, K]``: whether each of ``items [B, K]`` is in the row of ``sets [B, L]``."""
    assert sets is not None
    found = torch.zeros_like(items, dtype=torch.bool)
    for column in sets.T:
        found |= items == column.unsqueeze(1)
    return found
