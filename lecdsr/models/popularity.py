"""Items ranked by their number of training interactions: the least that a model must beat."""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Contract, ModelSettings, Recommender


class Settings(ModelSettings):
    """Items ranked by their number of training interactions; there is nothing to set."""

    history_length: Literal[1] = Field(default=1, description="Fixed, because the model does not read the history.")
    domains: Literal["both"] = Field(default="both", description="Fixed, because the model does not read the history.")
    order: Literal["time"] = Field(default="time", description="Fixed, because the model does not read the history.")


class Popularity(Recommender):
    """The score of an item is its number of training interactions, the same for every user."""

    objective = "counts"
    contract = Contract(
        settings={"history_length": 1},
        variants={"counts": {}},
        toys={},  # the toy follows the last item, which is not read
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        self.register_buffer("counts", info.train_counts.float())

    def queries(self, histories: Histories) -> Tensor:
        """``[B, 1]`` ones."""
        return torch.ones(len(histories.user), 1, device=histories.user.device)

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, 1]`` counts and no bias."""
        counts = cast(Tensor, self.counts)
        return counts.unsqueeze(1), torch.zeros_like(counts)

    def score_note(self) -> str:
        """The score is a count."""
        return "it counts interactions, and reads neither history nor text"
