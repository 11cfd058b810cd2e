"""Compute metrics of the current models with bootstrap intervals over users, as in `lecdsr compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.console import track
from lecdsr.core.schemas import DOMAINS, TEST
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.metrics import user_means
from lecdsr.evaluate.significance import bootstrap_interval
from lecdsr.evaluate.slices import ALL, parts
from lecdsr.evaluate.targets import held_out

METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr", "mrr@10")
#: Metric shown in slices and figures.
MAIN = "ndcg@10"


class Estimate(NamedTuple):
    """Mean of a metric over users with its 95 % interval (None for a single user)."""

    model: str
    domain: str
    protocol: str
    slice: str
    metric: str
    users: int
    targets: int
    mean: float
    low: float | None
    high: float | None


class Cell(NamedTuple):
    """Targets of one domain and slice, with the ranks that one model gives them in one protocol."""

    model: str
    domain: str
    protocol: str
    slice: str
    ranks: NDArray[np.float64]
    user: NDArray[np.int64]
    metrics: Sequence[str]


def estimates(ranks: Mapping[str, pa.Table], resamples: int) -> list[Estimate]:
    """Estimate every metric on all test targets, and NDCG@10 on every slice, by model, domain and protocol.

    Args:
        ranks: table of ranks of each model.
        resamples: number of bootstrap resamples.
    """
    cells = [cell for model, table in ranks.items() for cell in _cells(model, held_out(table, TEST))]
    return [one for cell in track(cells, "intervals") for one in _of(cell, resamples)]


def pick(found: Sequence[Estimate], **wanted: str) -> list[Estimate]:
    """Select the estimates whose fields have the given values."""
    return [one for one in found if all(getattr(one, name) == value for name, value in wanted.items())]


def _cells(model: str, targets: pa.Table) -> list[Cell]:
    domain, user = (targets[name].to_numpy() for name in ("domain", "user"))
    cells = []
    for code, key in enumerate(DOMAINS):
        for name, inside in parts(targets).items():
            chosen = inside & (domain == code)
            if not chosen.any():
                continue
            _, dense = np.unique(user[chosen], return_inverse=True)
            metrics = METRICS if name == ALL else (MAIN,)
            for protocol in PROTOCOLS:
                column = targets[f"rank_{protocol}"].to_numpy()[chosen]
                cells.append(Cell(model, key, protocol, name, column, dense, metrics))
    return cells


def _of(cell: Cell, resamples: int) -> list[Estimate]:
    values = user_means(cell.ranks, cell.user)  # [U] for each metric
    users, targets = int(cell.user.max()) + 1, len(cell.user)
    return [
        Estimate(
            *cell[:4], metric, users, targets, float(values[metric].mean()),
            *bootstrap_interval(values[metric], resamples),
        )
        for metric in cell.metrics
    ]  # fmt: skip
