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
        "domain, averaged over both domains) before the learning rate decays, or training stops. For models whose "
        "`lr_schedule` is `steps`.",
    )
    validation_targets: int | None = Field(
        default=None,
        ge=1,
        description="Validation targets ranked after each epoch, drawn once by the seed; `null` ranks all. For large "
        "catalogues, where ranking them all would take longer than an epoch; `evaluate` always ranks all.",
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
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="Arithmetic of matrix products. `tf32` (NVIDIA GPUs since Ampere) and `bfloat16` are faster on "
        "hardware that supports them, and less exact; elsewhere training warns and uses float32.",
    )
    tables: Literal["dense", "rows", "sharded"] = Field(
        default="dense",
        description="Updates of item and user tables: `dense` updates every row in every step, `rows` only those the "
        "step reads (lazy Adam without weight decay), for very large tables. Models that score all items in every "
        "step refuse `rows`, and so does training on several GPUs. `sharded` is `dense` with the rows of the item "
        "table, their gradients and moments spread over the processes of `torchrun`, for tables that one GPU cannot "
        "hold; only `tandem` and `sasrec` can.",
    )


class TrainSettings(SharedSettings):
    """Block ``train.shared``: what every model is trained with, and whether it is trained once more for production."""

    refit: Literal["none", "all"] = Field(
        default="none",
        description="Train once more for production, after the evaluated model: `all` trains on every interaction, "
        "those of validation and test included, with the chosen settings and schedule (stage `refit`). That model is "
        "kept apart in `data/PAIR/production`, is never evaluated, and is the one that `recommend` uses.",
    )

    @property
    def training(self) -> SharedSettings:
        """What the training reads; ``refit`` is no business of it, and must not make it run again."""
        return SharedSettings.model_validate(self.model_dump(exclude={"refit"}))
