"""Item-kNN without training: cosine of items over the users who had both (Sarwar et al., WWW 2001).

Shrinkage damps similarities that few users support, as in Koren (KDD 2008). Differences from the papers: interactions
have no rating, so an item is the set of its users; recent items of the history weigh more; every item has separate
neighbours in each domain, so that a history in one domain also scores the items of the other.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from torch import Tensor

from lecdsr.core.arrays import IntArray, expand
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Contract, HistoryDecay, ModelSettings, Recommender, Scorer

#: Items whose similarities to all others are held in memory at once.
BLOCK = 4096


class Settings(ModelSettings):
    """Item-kNN without training: cosine of items over the users who had both (Sarwar et al., WWW 2001)."""

    neighbours: int = Field(
        default=100, ge=1, description="Number of top-k most similar items kept per item and domain."
    )
    shrinkage: float = Field(
        default=10.0,
        ge=0,
        description="Shrinkage added to the denominator of the cosine; damps similarities that few users support. 0 "
        "gives the plain cosine.",
    )
    decay: HistoryDecay = 0.9


class ItemKNN(Recommender):
    """Item-kNN model: the score is Σ over the history of decay^(steps back) · similarity(history item, item).

    Only the top-k neighbours (``neighbours``) of a history item in each domain count. They are kept in tables of k
    columns for X and k columns for Y, padded with zeros where an item has fewer.
    """

    objective = "counts"
    contract = Contract(
        settings={"neighbours": 4, "shrinkage": 1.0, "decay": 0.7},
        variants={
            "all neighbours": {"neighbours": 11},
            "two neighbours": {"neighbours": 2, "shrinkage": 3.0, "decay": 1.0},
            "length 1": {"history_length": 1},
        },
        toys={"default": {"neighbours": 24, "shrinkage": 0.0, "decay": 0.5}},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        shape = (info.n_items + 1, 2 * settings.neighbours)  # the last row is padding
        self.register_buffer("neighbours", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("similarities", torch.zeros(shape))

    def count(self, training: Sequences) -> None:
        """Find the neighbours of all items from the training windows.

        A user with a single training item (with ``domains: own``, a single one in a domain) has no window. They
        pair no items, so they count in neither the numerator nor the denominator of the cosine.
        """
        users = _users_of_items(training, self.info.n_items)
        for first in range(0, self.info.n_items, BLOCK):
            self._keep(_cosines(users, first, self.settings.shrinkage))

    def _keep(self, pairs: Pairs) -> None:
        """Keep each item's top-k neighbours per domain; break ties by lower id."""
        k = self.settings.neighbours
        domain = (pairs.other >= self.info.n_x).astype(np.int64)
        order = np.lexsort((pairs.other, -pairs.similarity, domain, pairs.item))
        group = (pairs.item * 2 + domain)[order]
        place = np.arange(len(group)) - np.searchsorted(group, group)  # index in the list of its item and domain
        kept = order[place < k]
        where = (torch.from_numpy(pairs.item[kept]), torch.from_numpy(domain[kept] * k + place[place < k]))
        for name, values in (("neighbours", pairs.other[kept]), ("similarities", pairs.similarity[kept])):
            table = cast(Tensor, getattr(self, name))
            table[where] = torch.from_numpy(values).to(table)

    def scorer(self, rerank: Scorer | None = None) -> Scorer:
        """Return a function that sums the similarities of neighbours, because this is not a two-tower model."""
        return self._scores

    def score_note(self) -> str:
        """Explain that the model has no texts."""
        return "it reads ids only"

    @torch.no_grad()
    def item_similarities(self, item: int) -> Tensor:
        """Return similarities ``[N]`` counted from the training windows, zero except for the neighbours of ``item``."""
        neighbours, similarities = cast(Tensor, self.neighbours)[item].long(), cast(Tensor, self.similarities)[item]
        return similarities.new_zeros(self.info.n_items).scatter_add_(0, neighbours, similarities)

    def _scores(self, histories: Histories, items: slice) -> Tensor:
        sequence, k = histories.sequence, self.settings.neighbours
        neighbours, similarities = cast(Tensor, self.neighbours), cast(Tensor, self.similarities)
        # For items of one domain, half of the columns is enough.
        columns = slice(k if items.start >= self.info.n_x else 0, k if items.stop <= self.info.n_x else None)
        steps = torch.arange(sequence.shape[1] - 1, -1, -1, device=sequence.device)
        weight = (self.settings.decay**steps).unsqueeze(-1)  # [L, 1]
        value = similarities[sequence, columns] * weight  # [B, L, k]
        item = neighbours[sequence, columns].long() - items.start
        width = items.stop - items.start
        value = value.masked_fill((item < 0) | (item >= width), 0)
        scores = torch.zeros(len(sequence), width, device=sequence.device)
        return scores.scatter_add_(1, item.clamp(0, width - 1).flatten(1), value.flatten(1))


class Pairs(NamedTuple):
    """Pairs of different items that share a user: ``[P]`` ids of each, and their similarities."""

    item: IntArray
    other: IntArray
    similarity: NDArray[np.float32]


def _users_of_items(training: Sequences, n_items: int) -> sparse.csr_array:
    """Build the matrix ``[U, N]`` that is 1 where the user had the item; overlapping windows and repeats count once."""
    window, row = expand(training.start, training.end)
    user, item = training.user[window], training.items[row]
    shape = (int(user.max(initial=-1)) + 1, n_items)
    had = sparse.csr_array((np.ones(len(row), np.int32), (user, item)), shape=shape)
    had.data[:] = 1  # the constructor summed repeats
    return had


def _cosines(users: sparse.csr_array, first: int, shrinkage: float) -> Pairs:
    """Compute the similarities of a block of items to all others: both / (√(n_i n_j) + shrinkage)."""
    both = (users[:, first : first + BLOCK].T @ users).tocoo()
    item, other = both.row.astype(np.int64) + first, both.col.astype(np.int64)
    counts = users.sum(axis=0).astype(np.float64)
    similarity = both.data / (np.sqrt(counts[item] * counts[other]) + shrinkage)
    different = item != other
    return Pairs(item[different], other[different], similarity[different].astype(np.float32))
