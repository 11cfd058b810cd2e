"""Settings of the stage ``prompts``; ``params.yaml`` says what each key means."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block

ProfileFrom = Literal["before_first_target", "training"]


class Settings(Block):
    """What is asked, about whom, from which interactions, and of which model."""

    version: str = Field(min_length=1)
    profiles: bool
    descriptions: bool
    profile_from: ProfileFrom
    history_length: int = Field(ge=1, le=1000)
    history_tokens: int = Field(ge=1)
    profile_instruction: str = Field(min_length=1)
    description_instruction: str = Field(min_length=1)
    model: str = Field(min_length=1)
    temperature: float = Field(ge=0, le=2, allow_inf_nan=False)
    max_tokens: int = Field(ge=1, le=100_000)
    resample: int = Field(ge=0)
