"""Block ``embed``; every key is explained in params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.base.block import Block

Precision = Literal["float32", "bfloat16"]
Part = Literal["title", "brand", "categories", "description", "answer"]


class Settings(Block):
    """Which encoder, and what of an item it reads."""

    encoder: str = Field(min_length=1)
    precision: Precision
    width: int | None = Field(ge=1)
    item_text: list[Part] = Field(min_length=1)
    max_characters: int = Field(ge=1)
    batch_size: int = Field(ge=1)
