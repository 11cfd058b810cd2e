"""Settings of the stage ``prompts``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block

ProfileFrom = Literal["before_first_target", "training"]

# The wording is part of the key of a paid answer, so it must not change. words: off
PROFILE_INSTRUCTION = (
    "Describe in at most 80 words what this customer likes, what they are likely to need next in each "
    "of the two shops, and what they would not buy. Name materials, flavours, styles and uses."
)
# words: on
DESCRIPTION_INSTRUCTION = (
    "Describe this product in at most 60 words: what it is, who uses it for what, and what goes with it."
)


class Settings(Block):
    """Write one question for every requested user profile and item description."""

    version: str = Field(
        default="v1",
        min_length=1,
        description="Prompt template, a folder under `lecdsr/prompts/templates`: `v1` for large models, `v2` for small "
        "ones, with the data first and the task last.",
    )
    profiles: bool = Field(default=True, description="Ask for a profile of every user.")
    descriptions: bool = Field(default=False, description="Ask for a description of every item.")
    profile_from: ProfileFrom = Field(
        default="before_first_target",
        description="Interactions that a profile is written from: `before_first_target`, only those before the first "
        "training target, or `training`, all training interactions as in the paper (the profile has then seen the "
        "training targets).",
    )
    history_length: int = Field(
        default=30, ge=1, le=1000, description="Number of latest interactions in a profile prompt."
    )
    history_tokens: int = Field(
        default=2000,
        ge=1,
        description="Maximum length of the history in a prompt, in tokens of about four bytes; the oldest lines are "
        "dropped first.",
    )
    profile_instruction: str = Field(
        default=PROFILE_INSTRUCTION,
        min_length=1,
        description="What a profile should say; part of every profile prompt.",
    )
    description_instruction: str = Field(
        default=DESCRIPTION_INSTRUCTION,
        min_length=1,
        description="What a description should say; part of every item prompt.",
    )
    model: str = Field(
        default="offline",
        min_length=1,
        description="Name of the language model in the request; part of the key of an answer. `offline` belongs to "
        "the provider `offline`.",
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of the request.")
    max_tokens: int = Field(default=200, ge=1, le=100_000, description="Maximum length of an answer, in tokens.")
    resample: int = Field(
        default=0, ge=0, description="Increase by one to ask every question again; part of the key of an answer."
    )
