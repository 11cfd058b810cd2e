"""HGN (Ma, Kang and Liu, KDD 2019): gates over features and over items, and products of items.

Differences from the paper: both domains are mixed in one history, the loss is a softmax over all items of the target's
domain instead of BPR with one negative, and padding is excluded from gates and sums. Pooling is by average, as in the
paper; LeCDSR's gates (``lecdsr``) divide by the sum of the gates.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from lecdsr.data.batch import Histories, PrefixBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.base import (
    BatchSize,
    Contract,
    HistoryLength,
    LossTerm,
    Recommender,
    TrainedSettings,
    WeightDecay,
    Width,
)
from lecdsr.models.layers.losses import softmax_by_domain


class Settings(TrainedSettings):
    """HGN (Ma, Kang and Liu, KDD 2019): gates over features and over items, trained with a softmax loss."""

    batch_size: BatchSize = 512
    weight_decay: WeightDecay = 0.0001
    history_length: HistoryLength = 15  # 5 in the paper
    width: Width = 64


class HGN(Recommender):
    """HGN: the query is the user embedding + the mean of the gated items + the sum of the items."""

    objective = "prefix"
    contract = Contract(
        variants={"ids": {}, "length 1": {"history_length": 1}},
        toys={"default": {"history_length": 4, "batch_size": 16, "weight_decay": 0.0}},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        d = settings.width
        self.user_embeddings = nn.Embedding(info.n_users, d)
        self.item_embeddings = nn.Embedding(info.n_items + 1, d, padding_idx=info.padding)
        self.output_embeddings = nn.Embedding(info.n_items, d)
        self.feature_gate_item = nn.Linear(d, d)
        self.feature_gate_user = nn.Linear(d, d, bias=False)
        self.instance_gate_item = nn.Linear(d, 1, bias=False)
        self.instance_gate_user = nn.Linear(d, settings.history_length, bias=False)
        for table in (self.user_embeddings, self.item_embeddings, self.output_embeddings):
            nn.init.normal_(table.weight, std=1.0 / d)
        with torch.no_grad():
            self.item_embeddings.weight[info.padding] = 0

    @classmethod
    def user_input(cls, settings: Settings) -> Literal["embedding"]:
        """Return ``embedding``: the model learns an embedding for every user."""
        return "embedding"

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, d]``."""
        sequence = histories.sequence
        real = (sequence != self.info.padding).unsqueeze(-1)  # [B, L, 1]
        u = self.user_embeddings(histories.user)  # [B, d]
        e = self.item_embeddings(sequence) * real  # [B, L, d]
        f = e * torch.sigmoid(self.feature_gate_item(e) + self.feature_gate_user(u).unsqueeze(1))
        places = self.instance_gate_user(u)[:, -sequence.shape[1] :]  # [B, L]
        gated = f * torch.sigmoid(self.instance_gate_item(f) + places.unsqueeze(-1))
        mean = gated.sum(dim=1) / real.sum(dim=1).clamp(min=1)  # padding is zero in e, and so in f and in this sum
        return cast(Tensor, u + mean + e.sum(dim=1))

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return the output embeddings ``[N, d]`` as keys, without biases."""
        keys = self.output_embeddings.weight
        return keys, keys.new_zeros(len(keys))

    def score_note(self) -> str:
        """Explain that the model has no texts."""
        return "it reads ids only"

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Compute a softmax loss over all items of the target's domain."""
        samples = cast(PrefixBatch, batch)
        return {
            "softmax": softmax_by_domain(
                self.queries(samples.histories), *self.keys(), samples.target, self.info.n_x, samples.in_domain
            )
        }
