"""Block ``embed``; every key is explained in params.yaml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lecdsr.config.schema import Block

Precision = Literal["float32", "bfloat16", "int8"]
Part = Literal["title", "brand", "categories", "description", "answer"]


class Settings(Block):
    """Which encoder, and what of an item it reads.

    Address, key, concurrency and caps of a server come from the environment (:mod:`lecdsr.ask.access`).
    """

    provider: Literal["sentence-transformers", "openai"]
    encoder: str = Field(min_length=1)
    precision: Precision
    width: int | None = Field(ge=1)
    item_text: list[Part] = Field(min_length=1)
    max_characters: int = Field(ge=1)
    batch_size: int = Field(ge=1, le=2048)

    @model_validator(mode="after")
    def _arithmetic_of_a_server_is_its_own(self) -> Self:
        if self.provider == "openai" and self.precision != "float32":
            raise ValueError("precision: float32 where the provider is openai, whose arithmetic is its own")
        return self
