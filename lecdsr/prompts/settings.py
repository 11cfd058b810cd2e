"""Settings of the stage ``prompts``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from lecdsr.config.schema import Block

NamedVersion = Literal["first_half", "training", "before_test", "latest"]
ProfileVersion = NamedVersion | Annotated[int, Field(ge=1)] | date


class Settings(Block):
    """Write one question for every requested user profile and item description."""

    version: str = Field(
        default="v3",
        min_length=1,
        description="Prompt template, a folder under `lecdsr/prompts/templates`: `v3` asks large models for lists of "
        "what a user buys next, `v1` asks them for prose, `v2` is for small models, with the data first and the task "
        "last.",
    )
    profiles: bool = Field(default=True, description="Ask for a profile of every user.")
    descriptions: bool = Field(default=False, description="Ask for a description of every item.")
    profile_versions: list[ProfileVersion] = Field(
        default=["first_half", "training", "before_test"],
        description="Versions of every profile, each written from the first part of a user's interactions: "
        "`first_half` of the training interactions, all `training` interactions, those `before_test` (training and "
        "validation), `latest` (all interactions, for production), a number of first training interactions, or all "
        "interactions before a day (YYYY-MM-DD in quotes, UTC). Versions that end with the same interaction are "
        "written once.",
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
    profile_instruction: str | None = Field(
        default=None,
        min_length=1,
        description="What a profile should say; part of every profile prompt. Null takes the instruction of `version`.",
    )
    description_instruction: str | None = Field(
        default=None,
        min_length=1,
        description="What a description should say; part of every item prompt. Null takes the instruction of "
        "`version`.",
    )
    model: str = Field(
        default="offline",
        min_length=1,
        description="Name of the language model in the request; part of the key of an answer. `offline` belongs to "
        "the provider `offline`.",
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of the request.")
    max_tokens: int = Field(default=300, ge=1, le=100_000, description="Maximum length of an answer, in tokens.")
    resample: int = Field(
        default=0, ge=0, description="Increase by one to ask every question again; part of the key of an answer."
    )

    @field_validator("profile_versions", mode="before")
    @classmethod
    def _known_versions(cls, versions: Any) -> Any:
        return [_version(entry) for entry in versions] if isinstance(versions, (list, tuple)) else versions

    @model_validator(mode="after")
    def _some_version(self) -> Settings:
        if self.profiles and not self.profile_versions:
            raise ValueError("at least one entry in `profile_versions`, or `profiles: false`")
        if len(set(self.profile_versions)) < len(self.profile_versions):
            raise ValueError("each entry of `profile_versions` once")
        return self


def _version(entry: Any) -> Any:
    """Check one entry of ``profile_versions``; pydantic would read a number in quotes as a day."""
    if type(entry) is date or entry in get_args(NamedVersion) or (type(entry) is int and entry >= 1):
        return entry
    try:
        return date.fromisoformat(entry)
    except (TypeError, ValueError):
        names = ", ".join(get_args(NamedVersion))
        raise ValueError(f"{names}, a number of interactions, or a day such as 2014-01-01; got {entry!r}") from None
