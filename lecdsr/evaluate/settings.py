"""Settings of the stage ``evaluate``."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Rank the validation and test targets and compute metrics."""

    exclude_history: bool = Field(
        default=True, description="Exclude the items of the target's history from the full ranking."
    )
    batch_size: int = Field(default=512, ge=1, description="Targets scored per batch.")
