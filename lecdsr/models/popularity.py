"""Popularity baseline: items ranked by their number of training interactions."""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Contract, ModelSettings, Recommender


class Settings(ModelSettings):
    """Items ranked by their number of training interactions; the model has no settings to choose."""

    history_length: Literal[1] = Field(default=1, description="Fixed, because the model does not read the history.")
    domains: Literal["both"] = Field(default="both", description="Fixed, because the model does not read the history.")
    order: Literal["time"] = Field(default="time", description="Fixed, because the model does not read the history.")


class Popularity(Recommender):
    """Popularity model: the score of an item is its number of training interactions, the same for every user."""

    objective = "counts"
    contract = Contract(
        settings={"history_length": 1},
        variants={"counts": {}},
        toys={},  # in the toy dataset the next item depends on the last one, which this model does not read
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        self.register_buffer("counts", info.train_counts.float())

    def queries(self, histories: Histories) -> Tensor:
        """Return queries of ones, ``[B, 1]``."""
        return torch.ones(histories.user.shape[0], 1, device=histories.user.device)

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return the counts as keys, ``[N, 1]``, without biases."""
        counts = cast(Tensor, self.counts)
        return counts.unsqueeze(1), torch.zeros_like(counts)

    def score_note(self) -> str:
        """Explain that the score is a count."""
        return "it counts interactions, and reads neither history nor text"
