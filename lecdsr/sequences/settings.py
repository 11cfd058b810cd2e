"""Settings of the stage ``sequences``."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lecdsr.config.schema import Block

Count = Annotated[int | None, Field(ge=0)]


class Expect(Block):
    """Published counts to compare the result with; only those given are checked."""

    users_of_both: Count = Field(default=None, description="Users of both domains, before the filter `min_user_total`.")
    users: Count = Field(default=None, description="Users that remain after all filters.")
    mean_length: float | None = Field(
        default=None, ge=0, description="Mean number of interactions per user, compared to two decimals."
    )
    items_x: Count = Field(default=None, description="Items of domain X after all filters.")
    items_y: Count = Field(default=None, description="Items of domain Y after all filters.")
    interactions: Count = Field(default=None, description="Interactions that remain after all filters.")
    test_targets_x: Count = Field(default=None, description="Test targets in domain X.")
    test_targets_y: Count = Field(default=None, description="Test targets in domain Y.")


class Settings(Block):
    """Filter users and items, number them, order the interactions in time and split them."""

    engine: Literal["duckdb", "spark"] = Field(
        default="duckdb",
        description="Engine that runs the filters: `duckdb` on this machine, or `spark`, which gives the same rows "
        "(needs `pip install -e '.[spark]'` and Java 17 or later). Memory and threads are limited by the environment "
        "variables `LECDSR_MEMORY_LIMIT` and `LECDSR_THREADS`.",
    )
    max_bad_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of malformed lines in a raw file above which the stage stops."
    )
    start_date: datetime.date | None = Field(
        default=None,
        description="First day whose interactions are kept (YYYY-MM-DD in quotes, UTC); null sets no limit.",
    )
    end_date: datetime.date | None = Field(
        default=None,
        description="Last day whose interactions are kept (YYYY-MM-DD in quotes, UTC); null sets no limit.",
    )
    overlap: Literal["only", "prefer", "all"] = Field(
        default="only",
        description="Users with interactions in one domain only: `only` removes them, `all` treats them like all "
        "other users, `prefer` keeps them for training but takes validation and test targets only from users of both "
        "domains.",
    )
    repeats: Literal["first", "all"] = Field(
        default="first",
        description="Repeated interactions of a user with an item: `first` keeps the earliest, `all` keeps every one. "
        "Lines with the same user, item and time always count as one interaction.",
    )
    min_item: int = Field(default=5, ge=1, description="Minimum number of interactions of an item; 1 keeps all items.")
    min_user_domain: int = Field(
        default=3,
        ge=1,
        description="Minimum number of interactions of a user in each domain. With `overlap: prefer` or `all` no user "
        "is removed for it; with `prefer`, a user below it in one domain counts as a user of the other domain only.",
    )
    min_user_total: int = Field(
        default=10, ge=2, description="Minimum number of interactions of a user over both domains together."
    )
    until_stable: bool = Field(
        default=True,
        description="Repeat the filters until nothing changes (k-core filtering), or apply each of them once.",
    )
    max_length: int | None = Field(
        default=50, ge=3, description="Number of latest interactions kept per user; null keeps all of them."
    )
    text_length: int = Field(
        default=2000, ge=1, description="Maximum length of a title and of a description, in characters."
    )
    split: Literal["leave_one_out", "ratio_windows", "temporal"] = Field(
        default="leave_one_out",
        description="How interactions are split into training, validation and test: `leave_one_out` holds out the "
        "last two interactions of each user, `ratio_windows` splits each user's sequence by `ratios` and cuts it into "
        "windows, `temporal` splits all users at the same two points in time.",
    )
    ratios: tuple[float, float] = Field(
        default=(0.8, 0.1),
        description="`ratio_windows`: shares of each user's sequence for training and for validation; the rest is "
        "test. Two positive numbers with a sum below 1.",
    )
    window: int = Field(default=15, ge=2, description="`ratio_windows`: number of interactions in a window.")
    min_window: int = Field(
        default=4,
        ge=2,
        description="`ratio_windows`: minimum number of interactions in a window; shorter ones are dropped.",
    )
    cuts: tuple[float, float] | tuple[datetime.date, datetime.date] = Field(
        default=(0.8, 0.9),
        description="`temporal`: first day of validation and first day of test (YYYY-MM-DD in quotes, UTC), or the "
        "shares of all interactions before them. In ascending order; a cut always falls on midnight.",
    )
    min_history: int = Field(default=2, ge=1, description="Minimum number of history items in front of a target.")
    expect: Expect | None = Field(
        default=None, description="Published counts that the result must match; null checks nothing."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not (self.ratios[0] > 0 and self.ratios[1] > 0 and sum(self.ratios) < 1):
            raise ValueError(f"two positive `ratios` with a sum below 1, got {self.ratios}")
        first, second = self.cuts
        if isinstance(first, float) and isinstance(second, float):
            if not 0 < first < second < 1:
                raise ValueError(f"two `cuts` with 0 < first < second < 1, got {self.cuts}")
        elif not first < second:  # type: ignore[operator]
            raise ValueError(f"two days in ascending order as `cuts`, got {first} and {second}")
        return self
