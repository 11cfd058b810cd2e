"""Settings that all models share, block ``train.shared``; each model's own are in its file in ``lecdsr/models``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block


class SharedSettings(Block):
    """Settings shared by all models: seed, device, early stopping, learning-rate schedule and arithmetic."""

    seed: int = Field(default=1, ge=0, description="Seed of the initial weights, the sample order and the negatives.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to train: `auto` takes CUDA if there is a GPU and the CPU otherwise."
    )
    epochs: int = Field(default=40, ge=1, description="Maximum number of epochs.")
    patience: int = Field(
        default=4,
        ge=1,
        description="Early stopping: epochs without a better validation score (NDCG@10 over all items of the target's "
        "domain, averaged over both domains) before the learning rate decays, or training stops.",
    )
    lr_decays: int = Field(
        default=3,
        ge=0,
        description="Learning-rate decays before training stops. Each continues from the best epoch; after the first, "
        "a single epoch without a better score is enough. 0 stops as soon as the patience is used up.",
    )
    lr_decay_factor: float = Field(
        default=0.3, gt=0, lt=1, description="Factor that each decay multiplies the learning rate by."
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="Warm-up steps: the learning rate rises linearly over them. 0 skips the warm-up."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Arithmetic of matrix products. `bfloat16` is faster on hardware that supports it; elsewhere "
        "training warns and uses float32.",
    )
    tables: Literal["dense", "rows"] = Field(
        default="dense",
        description="Updates of item and user tables: `dense` updates every row in every step, `rows` only those the "
        "step reads (lazy Adam without weight decay), for very large tables. Models that score all items in every "
        "step refuse `rows`.",
    )
