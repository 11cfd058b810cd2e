"""Compare pairs of methods and test their differences: one row for each domain, slice, protocol and metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.console import track
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, SPLITS
from lecdsr.evaluate.metrics import user_means
from lecdsr.evaluate.significance import LEVEL, RESAMPLES, Paired, bootstrap_interval, holm, paired
from lecdsr.evaluate.slices import parts
from lecdsr.evaluate.targets import check_same, held_out

Array = NDArray[np.float64]

PROTOCOLS = ("full", "sampled")
METRICS = ("ndcg@10", "hr@10")


class Side(NamedTuple):
    """A method in a comparison: its name, and the source and ranks of each of its seeds."""

    name: str
    sources: list[str]
    ranks: list[pa.Table]


class Comparison(NamedTuple):
    """Two methods to compare, A and B."""

    a: Side
    b: Side


class Options(NamedTuple):
    """Options of a comparison: split, protocols, metrics, and kinds of slices (``slices.KINDS``)."""

    split: int
    protocols: tuple[str, ...] = PROTOCOLS
    metrics: tuple[str, ...] = METRICS
    slices: tuple[str, ...] = ()
    resamples: int = RESAMPLES


class Mean(NamedTuple):
    """A mean over seeds and the standard deviation between them; None for one seed."""

    mean: float
    deviation: float | None


class Row(NamedTuple):
    """Result of one test: the difference of A and B; ``p_holm`` is adjusted for all tests of the call."""

    comparison: int
    domain: str
    slice: str
    protocol: str
    metric: str
    users: int
    targets: int
    a: Mean
    b: Mean
    paired: Paired
    p_holm: float | None = None

    @property
    def better(self) -> str | None:
        """Name of the significantly better side, ``a`` or ``b``; None if neither is."""
        if self.p_holm is None or self.p_holm > LEVEL:
            return None
        return "a" if self.paired.difference > 0 else "b"


class Cell(NamedTuple):
    """Targets of one row: a mask ``chosen`` of these targets, and a dense user number for each of them."""

    comparison: int
    domain: str
    slice: str
    protocol: str
    metric: str
    chosen: NDArray[np.bool_]
    user: NDArray[np.int64]


class Estimate(NamedTuple):
    """Mean of a method's metric over users and seeds, with its 95 % interval over users (None for one user)."""

    domain: str
    protocol: str
    metric: str
    users: int
    mean: float
    low: float | None
    high: float | None


def compare(comparisons: Sequence[Comparison], options: Options) -> list[Row]:
    """Compare A with B in every comparison, and adjust the p-values for all tests together.

    A user's metric is the mean over the user's targets, then over the seeds of the method. The tests generalise to
    other users, given the seeds that were run; the deviation between seeds is reported beside them.

    Raises:
        UserError: two tables rank different targets, or the split has none.
    """
    tables = [_aligned(comparison, options.split) for comparison in comparisons]
    cells = [cell for place, sides in enumerate(tables) for cell in _cells(place, sides[0][0], options)]
    if not cells:
        raise UserError(
            f"the ranks hold no {SPLITS[options.split]} targets",
            where="--split",
            do="choose the other split, or run `dvc repro` to rank the targets again",
            code="no-targets",
        )
    rows = [_row(cell, tables[cell.comparison], options.resamples) for cell in track(cells, "comparing")]
    adjusted = holm([row.paired.p for row in rows])
    return [row._replace(p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def estimate(side: Side, options: Options) -> list[Estimate]:
    """Estimate every metric of one method by domain and protocol, over all targets of the split."""
    found = []
    for code, name in enumerate(DOMAINS):
        for protocol in options.protocols:
            for metric in options.metrics:
                values = values_by_user(side, options, code, protocol, metric).mean(axis=0)
                if len(values):
                    low, high = bootstrap_interval(values, options.resamples)
                    found.append(Estimate(name, protocol, metric, len(values), float(values.mean()), low, high))
    return found


def values_by_user(side: Side, options: Options, domain: int, protocol: str, metric: str) -> Array:
    """Return the metric of each user under each seed of a method, ``[S, U]``; users in ascending order."""
    seeds = []
    for ranks in side.ranks:
        targets = held_out(ranks, options.split)
        chosen = targets["domain"].to_numpy() == domain
        _, user = np.unique(targets["user"].to_numpy()[chosen], return_inverse=True)
        seeds.append(user_means(targets[f"rank_{protocol}"].to_numpy()[chosen], user)[metric])
    return np.stack(seeds)


def _aligned(comparison: Comparison, split: int) -> tuple[list[pa.Table], list[pa.Table]]:
    a, b = ([held_out(ranks, split) for ranks in side.ranks] for side in comparison)
    names = [*comparison.a.sources, *comparison.b.sources]
    for name, table in zip(names[1:], [*a, *b][1:], strict=True):
        check_same(a[0], table, (names[0], name), split)
    return a, b


def _cells(comparison: int, targets: pa.Table, options: Options) -> list[Cell]:
    """List the rows to test in one comparison; domains and slices without targets are left out."""
    domain, user = (targets[name].to_numpy() for name in ("domain", "user"))
    slices = parts(targets, options.slices)
    cells = []
    for code, name in enumerate(DOMAINS):
        for part, inside in slices.items():
            chosen = (domain == code) & inside
            if not chosen.any():
                continue
            _, dense = np.unique(user[chosen], return_inverse=True)
            cells += [
                Cell(comparison, name, part, protocol, metric, chosen, dense)
                for protocol in options.protocols
                for metric in options.metrics
            ]
    return cells


def _row(cell: Cell, tables: tuple[list[pa.Table], list[pa.Table]], resamples: int) -> Row:
    a, b = (_by_seed(cell, side) for side in tables)  # [S_A, U], [S_B, U]
    # Metrics are between 0 and 1, so differences in the 13th digit come from the order of summation.
    differences: Array = np.round(a.mean(axis=0) - b.mean(axis=0), 12)  # [U]
    return Row(
        *cell[:5],
        users=a.shape[1],
        targets=len(cell.user),
        a=_over_seeds(a),
        b=_over_seeds(b),
        paired=paired(differences, resamples),
    )


def _by_seed(cell: Cell, tables: list[pa.Table]) -> Array:
    """Return the metric of each user under each seed, ``[S, U]``."""
    column = f"rank_{cell.protocol}"
    ranks = [table[column].to_numpy()[cell.chosen] for table in tables]
    return np.stack([user_means(seed, cell.user)[cell.metric] for seed in ranks])


def _over_seeds(values: Array) -> Mean:
    seeds = values.mean(axis=1)
    return Mean(float(seeds.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else None)
