"""FISM (Kabbur, Ning and Karypis, KDD 2013) with a softmax loss: a history is the sum of its items.

The score of item j after the history i_1 … i_L is ``L^-α Σ_l p(i_l) · q_j + b_j``.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from lecdsr.data.batch import Histories, PrefixBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.base import BatchSize, HistoryLength, LossTerm, Recommender, TrainedSettings, WeightDecay, Width
from lecdsr.models.layers.losses import softmax_by_domain


class Settings(TrainedSettings):
    """FISM (Kabbur, Ning and Karypis, KDD 2013): the sum of the history's items, trained with a softmax loss."""

    batch_size: BatchSize = 512
    weight_decay: WeightDecay = 0.0001
    history_length: HistoryLength = 15
    width: Width = 64
    alpha: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="The sum is divided by the number of items to this power: 0 gives a sum, 1 a mean.",
    )


class FISM(Recommender):
    """FISM with two tables, one for items of the history and one for ranked items."""

    objective = "prefix"  # one sample for every training target

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        self.read = nn.Embedding(info.n_items + 1, settings.width, padding_idx=info.padding)
        self.ranked = nn.Embedding(info.n_items, settings.width)
        self.bias = nn.Parameter(torch.zeros(info.n_items))
        nn.init.normal_(self.ranked.weight, std=0.02)
        with torch.no_grad():
            self.read.weight.normal_(std=0.02)[info.padding] = 0

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, d]``: the sum of the history's items divided by ``L^α``."""
        real = (histories.sequence != self.info.padding).unsqueeze(-1)  # [B, L, 1]
        total = cast(Tensor, self.read(histories.sequence) * real).sum(dim=1)  # [B, d]
        return total / real.sum(dim=1).clamp(min=1) ** self.settings.alpha

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return the table of ranked items ``[N, d]`` and biases ``[N]``."""
        return self.ranked.weight, self.bias

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Compute a softmax loss over all items of the target's domain."""
        samples = cast(PrefixBatch, batch)
        keys, bias = self.keys()
        queries = self.queries(samples.histories)  # [B, d]
        return {"softmax": softmax_by_domain(queries, keys, bias, samples.target, self.info.n_x)}
