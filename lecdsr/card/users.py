"""Users: of which domains they are, how long their sequences are, how often they come back to an item."""

from __future__ import annotations

from typing import Any

import duckdb

from lecdsr.card.counts import count, count_by_domain, histogram, summary
from lecdsr.core.schemas import DOMAINS


def users(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Users of both domains and of one only."""
    query = "SELECT (CASE WHEN n_x > 0 AND n_y > 0 THEN 2 WHEN n_y > 0 THEN 1 ELSE 0 END) AS value FROM users"
    counts = count(db, query)
    found = dict(zip(counts.value.tolist(), counts.frequency.tolist(), strict=True))
    return {"both": found.get(2, 0), "only_x": found.get(0, 0), "only_y": found.get(1, 0)}


def lengths(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Interactions of a user over both domains (``all``), and in each among the users who have any there."""
    counts = {
        "all": count(db, "SELECT n_x + n_y AS value FROM users"),
        **{name: count(db, f"SELECT n_{name} AS value FROM users WHERE n_{name} > 0") for name in DOMAINS},
    }
    return {name: {**summary(found), "histogram": histogram(found)} for name, found in counts.items()}


def repeats(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Share of interactions with an item that the user had before, by domain; None without interactions."""
    # Each user and item that meet count once, with as many interactions as they have.
    met = count_by_domain(db, "SELECT domain, count(*) AS value FROM interactions GROUP BY domain, user, item")
    return {name: 1 - found.size / found.total if found.total else None for name, found in met.items()}
