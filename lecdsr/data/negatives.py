"""Draw negatives on the device, in every training step, from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lecdsr.core.errors import UserError


class Draws:
    """Random numbers for the samples of a step; they do not depend on how many processes share the step.

    Every process draws for the whole batch and keeps the rows of its own samples.

    Args:
        seed: seed of the generator.
        device: device on which the numbers are drawn and used.
        concatenate: joins values ``[m]`` of all processes; ``None`` if this is the only one.
    """

    def __init__(
        self,
        seed: int,
        device: torch.device | None = None,
        concatenate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.generator = torch.Generator(device=device or "cpu").manual_seed(seed)
        self._concatenate = concatenate
        self._rows: tuple[slice, int] | None = None

    def share(self, rows: slice, whole: int) -> None:
        """Set which rows of a batch of ``whole`` samples this process holds, for all later draws."""
        self._rows = (rows, whole)

    def uniform(self, samples: int, count: int) -> Tensor:
        """Draw numbers in [0, 1), ``[samples, count]``, in double precision."""
        rows, whole = self._rows or (slice(None), samples)
        drawn = torch.rand(whole, count, generator=self.generator, device=self.generator.device, dtype=torch.float64)
        return drawn[rows]

    def shared(self, count: int) -> Tensor:
        """``[count]`` numbers in [0, 1) for the whole batch, the same in all processes; double precision."""
        return torch.rand(count, generator=self.generator, device=self.generator.device, dtype=torch.float64)

    def of_all(self, values: Tensor) -> Tensor:
        """Return the values ``[m]`` of all processes that share the step; all of them must call this."""
        return values if self._concatenate is None else self._concatenate(values)


def draw_negatives(
    target: Tensor,
    count: int,
    n_x: int,
    n_y: int,
    draws: Draws,
    excluded: Tensor | None = None,
) -> Tensor:
    """Draw uniform items of each target's domain, with replacement, never the target itself.

    Args:
        target: ``[B]`` target item ids.
        count: number of negatives per target.
        n_x: number of items of domain X.
        n_y: number of items of domain Y.
        draws: source of randomness, on the device of ``target``.
        excluded: ``[B, L]`` items to exclude by drawing again, at most three times, so a few may remain.

    Returns:
        ``[B, count]`` item ids.

    Raises:
        UserError: a domain has a single item, so that its targets have no negatives.
    """
    if min(n_x, n_y) < 2:
        raise UserError(
            "a domain has only one item, so no negatives can be drawn",
            where="sequences",
            do="lower sequences.min_item, min_user_domain or min_user_total",
            code="one-item",
        )
    in_x = (target < n_x).unsqueeze(1)  # [B, 1]
    # Products, because a choice between two numbers copies them to a GPU, which makes the host wait.
    size = n_y - 1 + in_x * (n_x - n_y)
    offset = ~in_x * n_x

    def draw() -> Tensor:
        items = (draws.uniform(len(target), count) * size).long() + offset
        return items + (items >= target.unsqueeze(1))  # skip the target, so that the draw is uniform over the others

    if excluded is None:
        return draw()
    return _redrawn(draw, excluded)


def draw_unseen(items: slice, count: int, seen: Tensor, draws: Draws) -> Tensor:
    """Draw uniform items of one domain, with replacement, excluding items that were seen.

    Args:
        items: ids of the domain.
        count: number of items drawn per sample.
        seen: ``[B, L]`` items to exclude by drawing again, at most three times, so a few may remain.
        draws: source of randomness, on the device of ``seen``.

    Returns:
        ``[B, count]`` item ids.
    """
    first, size = items.start, items.stop - items.start
    return _redrawn(lambda: (draws.uniform(len(seen), count) * size).long() + first, seen)


def _redrawn(draw: Callable[[], Tensor], excluded: Tensor) -> Tensor:
    """Draw items ``[B, K]``, and draw those again that are in their row of ``excluded [B, L]``, at most three times."""
    items = draw()
    in_order = excluded.sort(dim=1).values
    for _ in range(3):
        items = torch.where(_contains(in_order, items), draw(), items)
    return items


def _contains(sets: Tensor, items: Tensor) -> Tensor:
    """Return whether each of ``items [B, K]`` is in its row of ``sets [B, L]``, whose rows are sorted."""
    place = torch.searchsorted(sets, items).clamp(max=sets.shape[1] - 1)
    return sets.gather(1, place) == items
