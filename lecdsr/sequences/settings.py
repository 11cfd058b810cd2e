"""Block ``sequences``; every key is explained in params.yaml."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, model_validator

from lecdsr.config.schema import Block


class Expect(Block):
    """Published counts to compare with; only those given are checked.

    ``users_of_both`` counts users before the minimum of interactions in all; ``mean_length`` is
    compared to two decimals.
    """

    users_of_both: int | None = None
    users: int | None = None
    mean_length: float | None = None
    items_x: int | None = None
    items_y: int | None = None
    interactions: int | None = None
    test_targets_x: int | None = None
    test_targets_y: int | None = None


class Settings(Block):
    """How interactions are filtered, ordered and split."""

    engine: Literal["duckdb", "spark"]
    max_bad_share: float = Field(ge=0, le=1)
    start_date: datetime.date | None
    end_date: datetime.date | None
    overlap: Literal["only", "prefer", "all"]
    repeats: Literal["first", "all"]
    min_item: int = Field(ge=1)
    min_user_domain: int = Field(ge=1)
    min_user_total: int = Field(ge=2)
    until_stable: bool
    max_length: int | None = Field(ge=3)
    text_length: int = Field(ge=1)
    split: Literal["leave_one_out", "ratio_windows", "temporal"]
    ratios: tuple[float, float]
    window: int = Field(ge=2)
    min_window: int = Field(ge=2)
    cuts: tuple[float, float] | tuple[datetime.date, datetime.date]
    min_history: int = Field(ge=1)
    expect: Expect | None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not (self.ratios[0] > 0 and self.ratios[1] > 0 and sum(self.ratios) < 1):
            raise ValueError(f"two positive ratios with a sum below 1, got {self.ratios}")
        first, second = self.cuts
        if isinstance(first, float) and isinstance(second, float):
            if not 0 < first < second < 1:
                raise ValueError(f"two cuts with 0 < first < second < 1, got {self.cuts}")
        elif not first < second:  # type: ignore[operator]
            raise ValueError(f"two days, the first before the second, got {first} and {second}")
        return self
