"""Block ``card``; every key is explained in params.yaml."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """How sharp the plots of the card are."""

    plot_dpi: int = Field(ge=50, le=400)
