"""Block ``download``; every key is explained in params.yaml."""

from __future__ import annotations

from pydantic import Field

from lecdsr.config.schema import Block
from lecdsr.download import synthetic


class Settings(Block):
    """How files are brought, and the sizes of the synthetic pair."""

    timeout_s: float = Field(gt=0)
    attempts: int = Field(ge=1)
    max_unpacked_gb: float = Field(gt=0)
    synthetic: synthetic.Settings
