"""Interactions by month, and their ratings."""

from __future__ import annotations

from typing import Any

import duckdb

from lecdsr.card.counts import Counts, count_by_domain, quantile
from lecdsr.core.schemas import DOMAINS

#: Beyond so many different ratings they are a scale without steps, and quantiles say more than a list.
MOST_STEPS = 11


def months(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Interactions of every month from the first to the last, by domain (UTC)."""
    # Months since the year 0; a timestamp without zone, so that the machine's own zone plays no part.
    moment = "make_timestamp(time * 1000000)"
    found = count_by_domain(db, f"SELECT domain, year({moment}) * 12 + month({moment}) - 1 AS value FROM interactions")
    values = [month for counts in found.values() for month in counts.value.tolist()]
    every = range(min(values), max(values) + 1) if values else range(0)
    by_month = {name: dict(zip(*(column.tolist() for column in found[name]), strict=True)) for name in DOMAINS}
    return {
        "month": [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in every],
        **{name: [by_month[name].get(month, 0) for month in every] for name in DOMAINS},
    }


def ratings(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Mean, median and distribution of the ratings by domain, to a hundredth of a star."""
    found = count_by_domain(db, "SELECT domain, round(rating * 100) AS value FROM interactions WHERE isfinite(rating)")
    steps = {value for counts in found.values() for value in counts.value.tolist()}
    few = sorted(steps) if len(steps) <= MOST_STEPS else []
    return {name: _ratings(counts, few) for name, counts in found.items()}


def _ratings(counts: Counts, steps: list[int]) -> dict[str, Any]:
    median = quantile(counts, 0.5)
    times = dict(zip(counts.value.tolist(), counts.frequency.tolist(), strict=True))
    return {
        "mean": counts.total / counts.size / 100 if counts.size else None,
        "median": None if median is None else median / 100,
        "count": {f"{step / 100:g}": times.get(step, 0) for step in steps},
    }
