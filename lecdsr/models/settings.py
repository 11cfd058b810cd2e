"""What the settings of every model have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.base.block import Block


class ModelSettings(Block):
    """What of a history a model reads: how many items, and of which domains."""

    history_length: int = Field(ge=1)
    domains: Literal["both", "own"]


class TrainedSettings(ModelSettings):
    """A model with weights: samples in a batch, and the optimiser."""

    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
