"""Block ``report``; every key is explained in params.yaml."""

from __future__ import annotations

from pydantic import Field

from lecdsr.base.block import Block


class Settings(Block):
    """What the page shows."""

    example_users: int = Field(ge=0)
    top_k: int = Field(ge=1)
