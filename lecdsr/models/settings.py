"""What the settings of every model have."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lecdsr.base.block import Block


class ModelSettings(Block):
    """What of a history a model reads: how many items, of which domains, and in which order."""

    history_length: int = Field(ge=1)
    domains: Literal["both", "own"]
    order: Literal["time", "shuffled"]


class TrainedSettings(ModelSettings):
    """A model with weights: samples in a batch, and the optimiser."""

    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class AttentionSettings(TrainedSettings):
    """A model with self-attention."""

    width: int = Field(ge=1)
    heads: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"a number of heads that divides the width {self.width}, got {self.heads}")
        return self
