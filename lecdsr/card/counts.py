"""Statistics of integers that are given as distinct values with their frequencies.

Even five million items have only a few thousand distinct numbers of interactions. The database counts them, and the
functions here work on that small result. Integer sums are exact, so no figure depends on the order of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import duckdb
import numpy as np

from lecdsr.core.arrays import IntArray
from lecdsr.core.schemas import DOMAINS

QUANTILES = (0.05, 0.25, 0.75, 0.95)


class ValueCounts(NamedTuple):
    """Distinct values in ascending order, and how often each occurs (at least once)."""

    value: IntArray
    frequency: IntArray

    @property
    def size(self) -> int:
        """Number of values, repetitions included."""
        return int(self.frequency.sum())

    @property
    def total(self) -> int:
        """Sum of the values, repetitions included."""
        return int((self.value * self.frequency).sum())


def count(db: duckdb.DuckDBPyConnection, query: str) -> ValueCounts:
    """Count the values in the column ``value`` of a query."""
    return count_by_domain(db, f"SELECT 0 AS domain, value FROM ({query})")["x"]


def count_by_domain(db: duckdb.DuckDBPyConnection, query: str) -> dict[str, ValueCounts]:
    """Count the values of a query with columns ``domain`` and ``value``, by domain."""
    found = db.sql(
        f"SELECT domain, value::BIGINT AS value, count(*) AS frequency FROM ({query}) GROUP BY ALL ORDER BY ALL"
    ).fetchnumpy()
    domain, value, frequency = (np.asarray(found[name], np.int64) for name in ("domain", "value", "frequency"))
    return {name: ValueCounts(value[domain == code], frequency[domain == code]) for code, name in enumerate(DOMAINS)}


def quantile(counts: ValueCounts, share: float) -> float | None:
    """Compute a quantile with linear interpolation; None without values."""
    if not counts.size:
        return None
    place = share * (counts.size - 1)
    last = np.cumsum(counts.frequency)
    low, high = (
        int(counts.value[np.searchsorted(last, rank, side="right")]) for rank in (math.floor(place), math.ceil(place))
    )
    return low + (high - low) * (place - math.floor(place))


def summary(counts: ValueCounts) -> dict[str, Any]:
    """Summarise values by count, mean, quantiles and extremes; None where there are no values."""
    some = counts.size > 0
    return {
        "count": counts.size,
        "mean": counts.total / counts.size if some else None,
        "min": int(counts.value[0]) if some else None,
        **{f"quantile_{share:g}": quantile(counts, share) for share in QUANTILES if share < 0.5},
        "median": quantile(counts, 0.5),
        **{f"quantile_{share:g}": quantile(counts, share) for share in QUANTILES if share > 0.5},
        "max": int(counts.value[-1]) if some else None,
    }


def gini(counts: ValueCounts) -> float | None:
    """Compute the Gini coefficient: 0 if all values are equal, near 1 if one value makes up the whole sum."""
    if not counts.total:
        return None
    weighted, before = 0, 0  # Python integers, since rank times value can exceed 64 bits
    for value, frequency in zip(counts.value.tolist(), counts.frequency.tolist(), strict=True):
        weighted += value * (frequency * before + frequency * (frequency + 1) // 2)
        before += frequency
    return 2 * weighted / (before * counts.total) - (before + 1) / before


def head_share(counts: ValueCounts, share: float) -> float | None:
    """Compute the share of the sum held by the largest values; their number is ``share`` of all, rounded up."""
    if not counts.total:
        return None
    left = math.ceil(round(share * counts.size, 9))
    taken = 0
    for value, frequency in zip(counts.value[::-1].tolist(), counts.frequency[::-1].tolist(), strict=True):
        taken += value * min(left, frequency)
        left -= min(left, frequency)
    return taken / counts.total


def bands(counts: ValueCounts, bounds: tuple[int, ...]) -> dict[str, int]:
    """Count the values from each bound to below the next; the last band has no upper bound."""
    found = {}
    for low, high in zip(bounds, (*bounds[1:], None), strict=True):
        inside = (counts.value >= low) & (True if high is None else counts.value < high)
        found[_band_name(low, high)] = int(counts.frequency[inside].sum())
    return found


def _band_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}–{high - 1}"


def histogram(counts: ValueCounts, bins: int = 60) -> dict[str, list[int]]:
    """Count the values in bins: one bin per value if there are few values, else geometrically growing bins.

    Bin ``i`` holds the values from ``edges[i]`` to below ``edges[i + 1]``.
    """
    if not counts.size:
        return {"edges": [], "count": []}
    low, high = int(counts.value[0]), int(counts.value[-1]) + 1
    if high - low <= bins:
        edges = np.arange(low, high + 1)
    else:
        start = max(low, 1)
        edges = np.unique(np.concatenate([[low], np.geomspace(start, high, bins + 1).round().astype(np.int64)]))
    found, _ = np.histogram(counts.value, bins=edges, weights=counts.frequency)
    return {"edges": edges.tolist(), "count": found.astype(np.int64).tolist()}


def rank_curve(counts: ValueCounts, points: int = 200) -> dict[str, list[int]]:
    """Return the values in descending order at up to ``points`` geometrically growing ranks, starting with 1."""
    if not counts.size:
        return {"rank": [], "value": []}
    rank = np.unique(np.geomspace(1, counts.size, points).round().astype(np.int64))
    last_rank = np.cumsum(counts.frequency[::-1])
    value = counts.value[::-1][np.searchsorted(last_rank, rank)]
    return {"rank": rank.tolist(), "value": value.tolist()}
