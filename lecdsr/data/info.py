"""Dataset info: the sizes of a pair, its text vectors, and counts of its training interactions.

Shape legend: N items of both domains, D width of a text vector, U users.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.data.profiles import Profiles


@dataclass(frozen=True)
class DatasetInfo:
    """Sizes, text vectors and training counts of a dataset, from which a model is built.

    Args:
        n_x: number of items of domain X, whose ids are 0 … n_x-1.
        n_y: number of items of domain Y, whose ids follow.
        n_users: number of users.
        item_vectors: ``[N+1, D]`` text vectors, with a last row of zeros for padding; ``None`` without text.
        profiles: profiles of the users, in several versions over time; ``None`` without.
        train_counts: ``[N]`` number of training interactions of each item.
        train_days: first and last day of the training interactions, since 1970-01-01 UTC.
        text_widths: widths of the encoders whose vectors are joined; empty for a single one.
        item_ids: SHA-256 of the original ids of the items, in order; empty if they are not known.
        user_ids: the same of the users.
    """

    n_x: int
    n_y: int
    n_users: int
    item_vectors: Tensor | None
    profiles: Profiles | None
    train_counts: Tensor
    train_days: tuple[int, int] = (0, 0)
    text_widths: tuple[int, ...] = ()
    item_ids: str = ""
    user_ids: str = ""

    @property
    def n_items(self) -> int:
        """Number of items of both domains."""
        return self.n_x + self.n_y

    @property
    def padding(self) -> int:
        """Id of padding; every item table has one more row for it."""
        return self.n_items

    @property
    def anonymous_user(self) -> int:
        """Id of an anonymous user; no table has a row for it."""
        return self.n_users

    @property
    def unknown_profile(self) -> int:
        """Row of the unknown profile, whose vectors are zero."""
        return 0 if self.profiles is None else self.profiles.unknown

    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of what a model of these data depends on, by name; without those that are not known.

        ``items`` and ``users`` are their ids, ``training`` the counts and days of the training interactions, and
        ``texts`` the text vectors of the items. Profiles are not among them: a model reads new ones as they come.
        """
        counts = np.append(self.train_counts.numpy().astype(np.int64), self.train_days)
        found = {"items": self.item_ids, "users": self.user_ids, "training": _hash(counts)}
        if self.item_vectors is not None:
            found["texts"] = _hash(self.item_vectors.numpy())
        return {name: value for name, value in found.items() if value}

    def items_of(self, domain: int) -> slice:
        """Return the range of item ids of domain 0 (X) or 1 (Y)."""
        return slice(0, self.n_x) if domain == 0 else slice(self.n_x, self.n_items)


def _hash(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
