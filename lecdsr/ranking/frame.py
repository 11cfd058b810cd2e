"""What every model is: towers that turn histories into queries and items into keys.

Shape legend: B batch, L history length, N items of both domains, d width of the score, D width of
a text vector, K candidates, U users.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
    """

    n_x: int
    n_y: int
    n_users: int
    item_vectors: Tensor | None
    user_vectors: Tensor | None
    train_counts: Tensor

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
    """

    sequence: Tensor
    position: Tensor
    user: Tensor

    def to(self, device: torch.device) -> Histories:
        """The same batch on a device."""
        return Histories(self.sequence.to(device), self.position.to(device), self.user.to(device))


class Recommender(nn.Module):
    """A model in two-tower form: score(history, item) = query · key + bias.

    Ranking a whole catalogue is then one matrix product.
    """

    #: ``prefix``: one sample per training target; ``sequence``: one per window, a loss at every
    #: position; ``counts``: nothing to train.
    objective: str = "prefix"

    def queries(self, histories: Histories) -> Tensor:
        """``[B, d]``, one query a history."""
        raise TypeError(f"{type(self).__name__} does not define queries")

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, d]`` keys and ``[N]`` biases of all items."""
        raise TypeError(f"{type(self).__name__} does not define keys")

    def loss(self, batch: object, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Training loss of a batch and its parts by name, for the log."""
        raise TypeError(f"{type(self).__name__} does not define a loss")
