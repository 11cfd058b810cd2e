"""Settings of the stage ``ask``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Answer the questions, from the answer store or through a provider.

    Address, key, concurrency and spending limits of a server do not change an answer. They are therefore not
    settings but environment variables (:mod:`lecdsr.ask.access`).
    """

    provider: Literal["offline", "openai"] = Field(
        default="offline",
        description="Source of the answers: `offline` composes texts from titles, brands and categories by rules, "
        "without a language model; `openai` is any server with an OpenAI-compatible API.",
    )
    max_failed_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of questions that may fail for good before the stage stops."
    )
