"""Settings of the synthetic dataset, and its independent streams of random numbers."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from lecdsr.config.schema import Block


class Settings(Block):
    """Size and random seed of the synthetic dataset."""

    seed: int = Field(default=7, ge=0, description="Random seed of the generator.")
    users: int = Field(
        default=1200,
        ge=1,
        le=100_000_000,
        description="Number of users. Each has at least 3 interactions in each domain, and at least 10 in total "
        "where `interactions_per_user` allows it.",
    )
    items_x: int = Field(
        default=900,
        ge=24,
        le=100_000_000,
        description="Number of items in domain X. Fewer than 288 items in either domain reduce the number of themes.",
    )
    items_y: int = Field(default=900, ge=24, le=100_000_000, description="Number of items in domain Y; see `items_x`.")
    interactions_per_user: float = Field(
        default=24.0,
        ge=6,
        le=1000,
        description="Mean number of interactions per user over both domains. A few users have many more.",
    )
    bad_lines: int = Field(
        default=3,
        ge=0,
        le=1_000_000,
        description="Malformed lines added to each of the four files, as found in real files.",
    )

    @property
    def items(self) -> tuple[int, int]:
        """Number of items of each domain."""
        return self.items_x, self.items_y


def stream(seed: int, purpose: str, *part: int) -> np.random.Generator:
    """Create a random generator for one purpose and part, whose numbers do not depend on draws made elsewhere."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*purpose.encode(), *part)))
