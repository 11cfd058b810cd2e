"""Settings of the stage ``ask``; ``params.yaml`` says what each key means."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Who answers, and how many questions may stay unanswered.

    Address, key, concurrency and caps are no settings: they do not change an answer, so they come
    from the environment (:mod:`lecdsr.ask.access`).
    """

    provider: Literal["offline", "openai"]
    max_failed_share: float = Field(ge=0, le=1, allow_inf_nan=False)
