"""Items: how interactions are spread over them, and which of their texts are missing."""

from __future__ import annotations

from typing import Any

import duckdb

from lecdsr.card.counts import (
    Counts,
    bands,
    count_by_domain,
    gini,
    head_share,
    quantile,
    rank_curve,
    summary,
)
from lecdsr.core.schemas import DOMAINS

#: First number of training interactions of each band of the tail.
TAIL = (0, 1, 5, 20)
#: Shares of the items whose part of all interactions is told.
HEADS = (0.01, 0.1)
TEXTS = {
    "title": "length(coalesce(title, ''))",
    "brand": "length(coalesce(brand, ''))",
    "categories": "length(coalesce(array_to_string(categories, ' '), ''))",
    "description": "length(coalesce(description, ''))",
}


def popularity(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Interactions per item by domain: summary, head, Gini coefficient, tail in training, curve by rank."""
    every = count_by_domain(db, "SELECT domain, count(*) AS value FROM interactions GROUP BY domain, item")
    training = count_by_domain(db, "SELECT domain, train_count AS value FROM items")
    return {name: _popularity(every[name], training[name]) for name in DOMAINS}


def _popularity(every: Counts, training: Counts) -> dict[str, Any]:
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
    """Items without each text, and the median length of the texts that are there, by domain."""
    facts: dict[str, Any] = {name: {"without": {}, "median_characters": {}} for name in DOMAINS}
    lengths = {**TEXTS, "all": " + ".join(TEXTS.values())}
    for part, length in lengths.items():
        for name, counts in count_by_domain(db, f"SELECT domain, {length} AS value FROM items").items():
            some = Counts(*(column[counts.value > 0] for column in counts))
            facts[name]["without"][part] = counts.size - some.size
            facts[name]["median_characters"][part] = quantile(some, 0.5)
    return facts
