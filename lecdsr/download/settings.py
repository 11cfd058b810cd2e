"""Settings of the stage ``download``."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block
from lecdsr.download.synthetic.settings import Settings as Synthetic


class Settings(Block):
    """Download the raw files of both domains to ``data/PAIR/raw``."""

    timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds without data after which a connection counts as lost."
    )
    attempts: int = Field(
        default=5,
        ge=1,
        description="Consecutive attempts that return no data before a mirror is given up. "
        "An interrupted download resumes where it stopped.",
    )
    max_unpacked_gb: float = Field(
        default=100.0,
        gt=0,
        description="Largest unpacked size of one gzipped file, in gigabytes. Protects the disk from filling up.",
    )
    synthetic: Synthetic = Field(
        default=Synthetic(),
        description="The built-in synthetic dataset, for pairs with `source: synthetic`; ignored for all others.",
    )
