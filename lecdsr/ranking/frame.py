"""What every model is: towers that turn histories into queries and items into keys.

Shape legend: B batch, L history length, N items of both domains, d width of the score, D width of
a text vector, K candidates, U users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lecdsr.ranking.negatives import Draws

if TYPE_CHECKING:
    from lecdsr.ranking.histories import Sequences


@dataclass(frozen=True)
class Catalogue:
    """What a model is built for.

    Args:
        n_x: items of domain X; they have the ids 0 … n_x-1.
        n_y: items of domain Y; they follow.
        n_users: users.
        item_vectors: ``[N+1, D]`` text vectors, the last row (padding) zeros; ``None`` without text.
        user_vectors: ``[U, D]`` text vectors of profiles; ``None`` without.
        train_counts: ``[N]`` training interactions of each item.
        train_days: first and last day of a training interaction, since 1970-01-01 UTC.
    """

    n_x: int
    n_y: int
    n_users: int
    item_vectors: Tensor | None
    user_vectors: Tensor | None
    train_counts: Tensor
    train_days: tuple[int, int] = (0, 0)

    @property
    def n_items(self) -> int:
        """Items of both domains."""
        return self.n_x + self.n_y

    @property
    def padding(self) -> int:
        """Id that stands for no item; one row more in every item table."""
        return self.n_items

    def items_of(self, domain: int) -> slice:
        """Ids of the items of domain 0 (X) or 1 (Y)."""
        return slice(0, self.n_x) if domain == 0 else slice(self.n_x, self.n_items)


@dataclass(frozen=True)
class Histories:
    """A batch of histories, left-padded.

    Args:
        sequence: ``[B, L]`` items in time order, the latest last; padding on the left.
        position: ``[B, L]`` recency rank within the item's own domain, 1 the latest; 0 for padding.
        user: ``[B]`` users.
        day: ``[B, L]`` day of each interaction, since 1970-01-01 UTC; padding holds any day.
    """

    sequence: Tensor
    position: Tensor
    user: Tensor
    day: Tensor

    def to(self, device: torch.device) -> Histories:
        """The same batch on a device."""
        return Histories(*(part.to(device) for part in (self.sequence, self.position, self.user, self.day)))


@dataclass(frozen=True)
class Term:
    """One part of a training loss, before it becomes a mean.

    Sum and count are kept apart because several processes may hold a share of the batch each: their mean
    is the sum of all sums over the sum of all counts.

    Args:
        total: scalar, summed over the batch.
        count: what it is a mean over; ``None`` leaves the sum, as the published ranking loss is one.
        weight: factor in the loss.
    """

    total: Tensor
    count: int | None
    weight: float = 1.0

    def times(self, weight: float) -> Term:
        """The same part with another weight."""
        return replace(self, weight=weight)

    def value(self) -> Tensor:
        """What it adds to the loss where the whole batch is here."""
        return self.weight * self.total / (1 if self.count is None else max(1, self.count))


class Recommender(nn.Module):
    """A model in two-tower form: score(history, item) = query · key + bias.

    Ranking a whole catalogue is then one matrix product. A model that is no product of two towers
    overrides :meth:`scorer`, which is all that ranking and recommending call.
    """

    #: ``prefix``: one sample per training target; ``sequence``: one per window, a loss at every
    #: position; ``counts``: nothing to train, :meth:`count` is called once instead.
    objective: str = "prefix"

    def row_tables(self) -> list[nn.Embedding]:
        """Tables of which a step touches few rows, all others being read through them too; empty if there are none."""
        return []

    def scorer(self) -> Callable[[Histories, slice], Tensor]:
        """A function of a batch and a slice of item ids that gives their scores ``[B, N_slice]``.

        What is the same for every history is computed here, once, and not for every batch.
        """
        keys, bias = self.keys()
        return lambda histories, items: torch.addmm(bias[items], self.queries(histories), keys[items].T)

    def count(self, training: Sequences) -> None:
        """Fill the buffers of a model that counts from the training windows; else nothing."""

    def queries(self, histories: Histories) -> Tensor:
        """``[B, d]``, one query a history."""
        raise TypeError(f"{type(self).__name__} does not define queries")

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, d]`` keys and ``[N]`` biases of all items."""
        raise TypeError(f"{type(self).__name__} does not define keys")

    def terms(self, batch: object, draws: Draws) -> dict[str, Term]:
        """The parts of the training loss of a batch, by the name they have in the log."""
        raise TypeError(f"{type(self).__name__} does not define a loss")

    def loss(self, batch: object, draws: Draws) -> tuple[Tensor, dict[str, float]]:
        """Training loss of a whole batch and the value of each of its parts."""
        values = {name: term.value() for name, term in self.terms(batch, draws).items()}
        return torch.stack(list(values.values())).sum(), {name: value.item() for name, value in values.items()}
