"""Settings of the stage ``recommend``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from lecdsr.config.names import model_names
from lecdsr.config.schema import Block


class Settings(Block):
    """Recommend to every user of a pair, from their whole history, with every trained model."""

    models: tuple[str, ...] | None = Field(
        default=None, description="Models to recommend with; null is every trained one. The others write no rows."
    )
    k: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Recommendations for each user and domain; fewer where a domain has fewer items left.",
    )
    exclude_owned: bool = Field(default=True, description="Exclude the items of the user's history.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to compute: `auto` takes CUDA if there is a GPU and the CPU otherwise."
    )
    users_per_block: int = Field(
        default=1024,
        ge=1,
        description="Users scored at once. A run that was killed goes on with the block it was in, so a kill loses "
        "the work of one block at most.",
    )
    items_per_block: int = Field(
        default=32_768,
        ge=1,
        description="Items scored at once. A block of scores takes 4 bytes × `users_per_block` × `items_per_block`, "
        "134 MB by default, whatever the size of the catalogue.",
    )

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [name for name in names or () if name not in model_names()]
        if unknown:
            raise ValueError(f"names of models, among them no {unknown[0]!r}: {', '.join(model_names())}")
        return names
