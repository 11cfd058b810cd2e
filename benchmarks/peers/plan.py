"""Which runs a comparison needs, in which order, and which setting of a side is chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

GRID, TIME, SEED = "grid", "time", "seed"
Record = dict[str, Any]


class Run(NamedTuple):
    """A run of a side with one setting and seed; its ``role`` is ``grid``, ``time`` or ``seed``."""

    side: str
    role: str
    setting: Mapping[str, Any]
    seed: int

    @property
    def name(self) -> str:
        """Name of its files. A grid run is also the seed run of its setting and seed."""
        text = json.dumps(self.setting, sort_keys=True)
        kind = "time-" if self.role == TIME else ""
        return f"{self.side}-{kind}s{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def grid_runs(grids: Mapping[str, Sequence[Mapping[str, Any]]], seed: int) -> list[Run]:
    """List one run of each setting of each side, with the first seed."""
    return [Run(side, GRID, point, seed) for side, points in grids.items() for point in points]


def chosen(records: Iterable[Record], grids: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """Return the setting of each side that is best on validation; a side without a grid run is left out."""
    found: dict[str, Record] = {}
    for record in records:
        if record["role"] != GRID or record["setting"] not in grids.get(record["side"], ()):
            continue
        best = found.setdefault(record["side"], record)
        if record["valid_ndcg@10"] > best["valid_ndcg@10"]:
            found[record["side"]] = record
    return {side: record["setting"] for side, record in found.items()}


def time_runs(settings: Mapping[str, Mapping[str, Any]], seed: int) -> list[Run]:
    """List the runs that measure time and memory, one of each side, which must run alone."""
    return [Run(side, TIME, setting, seed) for side, setting in settings.items()]


def seed_runs(settings: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> list[Run]:
    """List the runs of the other seeds, seed by seed, so that all sides have as many when time runs out."""
    return [Run(side, SEED, setting, seed) for seed in seeds[1:] for side, setting in settings.items()]


def for_git(records: Iterable[Record], settings: Mapping[str, Mapping[str, Any]]) -> list[Record]:
    """Reduce the records to what the tables need.

    Settings that were not chosen lose their test metrics, because only the chosen one is tested; logs stay with the
    runs that measure time or are tested.
    """
    kept = []
    for record in records:
        tested = record["metrics"] is not None and settings.get(record["side"]) == record["setting"]
        test = {"test": record["metrics"]["test"]} if tested else None
        kept.append({**record, "metrics": test, "log": record["log"] if tested or record["role"] == TIME else []})
    return kept
