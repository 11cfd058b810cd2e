"""Rank held-out targets by vectors that another library computed, with the code that ranks our own models.

Shape legend: T held-out targets, N items, d width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lecdsr.core.schemas import RANKS
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import PairData
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.evaluate import held_out, rank_held_out
from lecdsr.evaluate.metrics import MONITOR, mean_over_users
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.evaluate.settings import Settings
from lecdsr.models.base import Recommender

#: Score of an item that a library does not know, because no training interaction has it: below every other, so that
#: such items share the last ranks. Minus infinity would exclude them.
UNKNOWN = -1e9


class TargetVectors(NamedTuple):
    """Vectors of one split or of all held-out targets; a score is query · key + bias.

    Args:
        queries: ``[T, d]``, one of each target.
        keys: ``[N, d]``, one of each item.
        bias: ``[N]``, :data:`UNKNOWN` where the library does not know the item.
    """

    queries: Tensor
    keys: Tensor
    bias: Tensor


class _Given(Recommender):
    """Recommender that looks its queries up: the user of a history is the number of its target."""

    def __init__(self, vectors: TargetVectors) -> None:
        super().__init__()
        self._vectors = vectors

    def queries(self, histories: Histories) -> Tensor:
        return self._vectors.queries[histories.user]

    def keys(self) -> tuple[Tensor, Tensor]:
        return self._vectors.keys, self._vectors.bias


def rank_vectors(vectors: TargetVectors, data: PairData, candidates: pa.Table, settings: Settings) -> pa.Table:
    """Rank all held-out targets, and return the table ``RANKS``.

    Args:
        vectors: of the validation and test targets, in the order of their windows.
        data: sequences and sizes of the pair.
        candidates: negatives of the sampled ranking.
        settings: of the stage ``evaluate``.
    """
    device = vectors.keys.device
    users = held_out(data.sequences).user
    numbered = _numbered(held_out(data.sequences))
    ranks = rank_held_out(_Given(vectors), numbered, data.info, candidates, 1, settings, device)
    place = ranks.column_names.index("user")
    return ranks.set_column(place, "user", pa.array(users, RANKS.field("user").type)).cast(RANKS)


def score(vectors: TargetVectors, targets: Sequences, info: DatasetInfo, batch_size: int = 512) -> float:
    """Compute the validation score of our training: NDCG@10 of the full ranking, the mean of both domains.

    Args:
        vectors: of ``targets``.
        targets: windows of validation.
        info: sizes of the domains.
        batch_size: targets ranked at once.
    """
    model, device = _Given(vectors), vectors.keys.device
    ranks = rank_targets(model, _numbered(targets), info, 1, batch_size, device, label="validation").full.astype(
        np.float64
    )
    in_y = targets.target >= info.n_x
    parts = [chosen for chosen in (~in_y, in_y) if chosen.any()]
    return float(np.mean([mean_over_users(ranks[part], targets.user[part])[MONITOR] for part in parts]))


def _numbered(targets: Sequences) -> Sequences:
    """Replace the user of every target by its number; what the user had before stays in the other columns."""
    return replace(targets, user=np.arange(len(targets)))


def of_known(vectors: Tensor, known: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``[N, d]`` keys and ``[N]`` biases of all items, from those that a library knows.

    Args:
        vectors: ``[K, d]``.
        known: ``[K]`` the items.
        count: number of items N.
    """
    keys = vectors.new_zeros(count, vectors.shape[1])
    bias = vectors.new_full((count,), UNKNOWN)
    keys[known], bias[known] = vectors, 0.0
    return keys, bias


def encoded(queries: list[Tensor], keys: Tensor, bias: Tensor) -> TargetVectors:
    """Join batches of queries; float32 whatever they were computed in."""
    return TargetVectors(torch.cat(queries).float(), keys.float(), bias.float())
