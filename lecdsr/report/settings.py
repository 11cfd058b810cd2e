"""Settings of the stage ``report``."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Write one report page per pair: metrics, figures, and recommendations to browse."""

    users: int = Field(
        default=400,
        ge=0,
        description="Users shown in the browser of the page, sampled evenly from all; each takes about 4 kB.",
    )
    top_k: int = Field(default=10, ge=1, description="Recommendations shown per user and domain.")
    nearest: int = Field(
        default=2,
        ge=0,
        description="Most similar history items shown with a recommendation, by the cosine of the model's keys; 0 "
        "shows none.",
    )
    resamples: int = Field(
        default=2000,
        ge=100,
        description="Bootstrap resamples of the users per confidence interval. Fewer are faster and less precise.",
    )
    figure_dpi: int = Field(
        default=200,
        ge=50,
        le=600,
        description="Resolution of the figures in `data/PAIR/figures`, in dots per inch; each is 4.4 inches wide.",
    )
