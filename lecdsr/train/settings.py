"""Block ``train.shared``; each model has its own settings in its file under ``lecdsr/models``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block


class Shared(Block):
    """What holds for every model."""

    seed: int = Field(ge=0)
    device: Literal["auto", "cpu", "cuda"]
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    anneals: int = Field(ge=0)
    anneal: float = Field(gt=0, lt=1)
    warmup_steps: int = Field(ge=0)
    precision: Literal["float32", "bfloat16"]
    tables: Literal["dense", "rows"]
