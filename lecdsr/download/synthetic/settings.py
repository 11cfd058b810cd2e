"""Settings of the synthetic data set, and its independent streams of random numbers."""

from __future__ import annotations

import numpy as np
import pydantic

from lecdsr.config.schema import Block


class Settings(Block):
    """Block ``download.synthetic`` of ``params.yaml``.

    Args:
        seed: seed of everything the generator draws.
        users: users, each with interactions in both domains.
        items_x, items_y: items of the first and of the second domain.
        interactions_per_user: mean number of a user's interactions over both domains.
        bad_lines: malformed lines mixed into each of the four files.
    """

    seed: int = pydantic.Field(ge=0)
    users: int = pydantic.Field(ge=1, le=100_000_000)
    items_x: int = pydantic.Field(ge=24, le=100_000_000)
    items_y: int = pydantic.Field(ge=24, le=100_000_000)
    interactions_per_user: float = pydantic.Field(ge=6, le=1000)
    bad_lines: int = pydantic.Field(ge=0, le=1_000_000)

    @property
    def items(self) -> tuple[int, int]:
        """Items of both domains."""
        return self.items_x, self.items_y


def stream(seed: int, purpose: str, *part: int) -> np.random.Generator:
    """A generator for one purpose and part of the work; others do not move when one draws more."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*purpose.encode(), *part)))
