"""Settings of the stage ``card``."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Write the data card: a page with counts and plots that describe the sequences."""

    plot_dpi: int = Field(
        default=110, ge=50, le=400, description="Resolution of the plots in dots per inch; each is 6.4 inches wide."
    )
