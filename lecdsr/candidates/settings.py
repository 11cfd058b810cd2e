"""Settings of the stage ``candidates``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Draw and store the negatives of the sampled ranking."""

    negatives: int = Field(
        default=999, ge=1, description="Negatives per target; fewer where the domain of the target has too few items."
    )
    exclude: Literal["history", "target"] = Field(
        default="history",
        description="Items that are never drawn as negatives: `history`, all items the user ever interacted with, or "
        "`target`, the target alone.",
    )
    seed: int = Field(default=2024, ge=0, description="Random seed of the draw.")
