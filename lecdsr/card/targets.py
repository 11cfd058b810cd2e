"""Targets of training, validation and test: how many, how long after the item before, and seen or not."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from lecdsr.card.counts import Counts, bands, count_by_domain, quantile
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY, SPLITS, TEST, TRAIN, VALID

#: First day of each band of the gap between a target and the item before it.
GAPS = (0, 1, 2, 8, 31, 366)


def training_targets(artefacts: Artefacts) -> dict[str, int]:
    """Training targets by domain."""
    domain = pq.read_table(artefacts.interactions, columns=["domain"])["domain"].to_numpy()
    columns = ["first_target", "end"]
    windows = pq.read_table(artefacts.windows, columns=columns, filters=[("split", "=", TRAIN)])
    first, end = (windows[name].to_numpy() for name in columns)
    # Interactions with Y before each row: a window has as many targets in Y as this grows over it.
    of_y = np.zeros(len(domain) + 1, np.int32)
    np.cumsum(domain == 1, out=of_y[1:])
    y = int((of_y[end] - of_y[first]).sum(dtype=np.int64))
    return {"x": int((end - first).sum()) - y, "y": y}


def interactions_by_split(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Interactions of each part of the split, by domain."""
    found = count_by_domain(db, "SELECT domain, split AS value FROM interactions")
    return {split: {name: _times(found[name], code) for name in DOMAINS} for code, split in enumerate(SPLITS)}


def held_out(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Validation and test targets by domain: number, unseen in training, gap to the item before."""
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
            "unseen_in_training": _times(seen[name], 0),
            "unseen_share": _times(seen[name], 0) / seen[name].size if seen[name].size else None,
            "median_gap_days": quantile(gap[name], 0.5),
            "gap_days": bands(gap[name], GAPS),
        }
        for name in DOMAINS
    }


def _times(counts: Counts, value: int) -> int:
    return int(counts.frequency[counts.value == value].sum())
