"""What a model is built for: the sizes of a pair, its text vectors, and counts of its training interactions.

Shape legend: N items of both domains, D width of a text vector, U users.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DatasetInfo:
    """What a model is built for.

    Args:
        n_x: items of domain X; they have the ids 0 … n_x-1.
        n_y: items of domain Y; they follow.
        n_users: users.
        item_vectors: ``[N+1, D]`` text vectors, the last row (padding) zeros; ``None`` without text.
        user_vectors: ``[U+1, D]`` text vectors of profiles, the last row (anonymous user) zeros; ``None`` without.
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

    @property
    def anonymous_user(self) -> int:
        """Id of a user outside the data set: a row of zeros in ``user_vectors``, and in no other table."""
        return self.n_users

    def items_of(self, domain: int) -> slice:
        """Ids of the items of domain 0 (X) or 1 (Y)."""
        return slice(0, self.n_x) if domain == 0 else slice(self.n_x, self.n_items)
