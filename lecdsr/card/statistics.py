"""Statistics of the data card: items, users, months, ratings, targets."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from lecdsr.card.counts import (
    ValueCounts,
    bands,
    count,
    count_by_domain,
    gini,
    head_share,
    histogram,
    quantile,
    rank_curve,
    summary,
)
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY, SPLITS, TEST, TRAIN, VALID

#: Lower bounds of the bands of training interactions per item.
TAIL = (0, 1, 5, 20)
#: Top shares of the items for which the share of all interactions is reported.
HEADS = (0.01, 0.1)
TEXTS = {
    "title": "length(coalesce(title, ''))",
    "brand": "length(coalesce(brand, ''))",
    "categories": "length(coalesce(array_to_string(categories, ' '), ''))",
    "description": "length(coalesce(description, ''))",
}
#: With more distinct ratings than this, the data card does not list the distribution value by value.
MAX_RATING_VALUES = 11
#: Lower bounds, in days, of the bands of the gap between a target and the item before it.
GAPS = (0, 1, 2, 8, 31, 366)


def popularity(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Summarise the interactions per item of each domain: head share, Gini coefficient, long tail, curve by rank."""
    every = count_by_domain(db, "SELECT domain, count(*) AS value FROM interactions GROUP BY domain, item")
    training = count_by_domain(db, "SELECT domain, train_count AS value FROM items")
    return {name: _popularity(every[name], training[name]) for name in DOMAINS}


def _popularity(every: ValueCounts, training: ValueCounts) -> dict[str, Any]:
    tail = bands(training, TAIL)
    return {
        "interactions_per_item": summary(every),
        "gini": gini(every),
        "head_share": {f"{share:.0%}": head_share(every, share) for share in HEADS},
        "training_tail": tail,
        "training_tail_share": {name: items / training.size if training.size else None for name, items in tail.items()},
        "by_rank": rank_curve(every),
    }


def texts(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Count the items without each text field and compute the median length of the existing texts, by domain."""
    facts: dict[str, Any] = {name: {"without": {}, "median_characters": {}} for name in DOMAINS}
    lengths = {**TEXTS, "all": " + ".join(TEXTS.values())}
    for part, length in lengths.items():
        for name, counts in count_by_domain(db, f"SELECT domain, {length} AS value FROM items").items():
            some = ValueCounts(*(column[counts.value > 0] for column in counts))
            facts[name]["without"][part] = counts.size - some.size
            facts[name]["median_characters"][part] = quantile(some, 0.5)
    return facts


def users(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the users with both domains and with only one."""
    query = "SELECT (CASE WHEN n_x > 0 AND n_y > 0 THEN 2 WHEN n_y > 0 THEN 1 ELSE 0 END) AS value FROM users"
    counts = count(db, query)
    found = dict(zip(counts.value.tolist(), counts.frequency.tolist(), strict=True))
    return {"both": found.get(2, 0), "only_x": found.get(0, 0), "only_y": found.get(1, 0)}


def lengths(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Summarise the interactions per user: over both domains (``all``), and in each domain among its users."""
    counts = {
        "all": count(db, "SELECT n_x + n_y AS value FROM users"),
        **{name: count(db, f"SELECT n_{name} AS value FROM users WHERE n_{name} > 0") for name in DOMAINS},
    }
    return {name: {**summary(found), "histogram": histogram(found)} for name, found in counts.items()}


def repeats(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Compute the share of interactions whose user already had the item, by domain; None without interactions."""
    # One row per user and item, with the number of their interactions.
    pairs = count_by_domain(db, "SELECT domain, count(*) AS value FROM interactions GROUP BY domain, user, item")
    return {name: 1 - found.size / found.total if found.total else None for name, found in pairs.items()}


def months(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Count the interactions of every month from the first to the last, by domain (UTC)."""
    # Months since the year 0; a timestamp without zone, so that the machine's time zone has no effect.
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
    """Summarise the ratings of each domain: mean, median and distribution, to a hundredth of a star."""
    found = count_by_domain(db, "SELECT domain, round(rating * 100) AS value FROM interactions WHERE isfinite(rating)")
    steps = {value for counts in found.values() for value in counts.value.tolist()}
    few = sorted(steps) if len(steps) <= MAX_RATING_VALUES else []
    return {name: _ratings(counts, few) for name, counts in found.items()}


def _ratings(counts: ValueCounts, steps: list[int]) -> dict[str, Any]:
    median = quantile(counts, 0.5)
    times = dict(zip(counts.value.tolist(), counts.frequency.tolist(), strict=True))
    return {
        "mean": counts.total / counts.size / 100 if counts.size else None,
        "median": None if median is None else median / 100,
        "count": {f"{step / 100:g}": times.get(step, 0) for step in steps},
    }


def training_targets(artefacts: Artefacts) -> dict[str, int]:
    """Count the training targets of each domain."""
    domain = pq.read_table(artefacts.interactions, columns=["domain"])["domain"].to_numpy()
    columns = ["first_target", "end"]
    windows = pq.read_table(artefacts.windows, columns=columns, filters=[("split", "=", TRAIN)])
    first, end = (windows[name].to_numpy() for name in columns)
    # Running count of interactions in Y; its increase over a window is the window's number of targets in Y.
    of_y = np.zeros(len(domain) + 1, np.int32)
    np.cumsum(domain == 1, out=of_y[1:])
    y = int((of_y[end] - of_y[first]).sum(dtype=np.int64))
    return {"x": int((end - first).sum()) - y, "y": y}


def interactions_by_split(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Count the interactions of each split, by domain."""
    found = count_by_domain(db, "SELECT domain, split AS value FROM interactions")
    return {split: {name: _frequency(found[name], code) for name in DOMAINS} for code, split in enumerate(SPLITS)}


def held_out(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Describe the validation and test targets of each domain: number, unseen in training, gap to the item before."""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE target AS
        SELECT w.split, t.domain, i.train_count, t.time // {SECONDS_PER_DAY} - p.time // {SECONDS_PER_DAY} AS gap
        FROM (SELECT split, "end" - 1 AS last, CASE WHEN "end" - start > 1 THEN "end" - 2 END AS previous
            FROM windows WHERE split <> {TRAIN}) AS w
        JOIN interactions AS t ON t.position = w.last
        JOIN items AS i ON i.item = t.item
        LEFT JOIN interactions AS p ON p.position = w.previous
        """
    )
    return {SPLITS[code]: _held_out(db, code) for code in (VALID, TEST)}


def _held_out(db: duckdb.DuckDBPyConnection, split: int) -> dict[str, Any]:
    seen = count_by_domain(db, f"SELECT domain, train_count > 0 AS value FROM target WHERE split = {split}")
    gap = count_by_domain(db, f"SELECT domain, gap AS value FROM target WHERE split = {split} AND gap IS NOT NULL")
    return {
        name: {
            "targets": seen[name].size,
            "unseen_in_training": _frequency(seen[name], 0),
            "unseen_share": _frequency(seen[name], 0) / seen[name].size if seen[name].size else None,
            "median_gap_days": quantile(gap[name], 0.5),
            "gap_days": bands(gap[name], GAPS),
        }
        for name in DOMAINS
    }


def _frequency(counts: ValueCounts, value: int) -> int:
    return int(counts.frequency[counts.value == value].sum())
