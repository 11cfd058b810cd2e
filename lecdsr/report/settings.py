"""Block ``report``; every key is explained in params.yaml."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """What the page shows."""

    users: int = Field(ge=0)
    top_k: int = Field(ge=1)
    nearest: int = Field(ge=0)
    resamples: int = Field(ge=100)
    figure_dpi: int = Field(ge=50, le=600)
