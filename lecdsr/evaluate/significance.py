"""Whether a difference can be chance. The unit is the user: every test is paired by user.

The paired t-test and the bootstrap over users are the tests that keep their level at the numbers of users at
hand; the Wilcoxon test on these metrics does not (Ihemelandu and Ekstrand, SIGIR 2023). Formulas and sources:
docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.05
POWER = 0.8
RESAMPLES = 10_000
SEED = 1
# Draws of users held at once: 8 MB of places and as many of values, however many users there are.
BLOCK = 1 << 20


class Paired(NamedTuple):
    """What the differences of the users tell; None where there are too few to tell."""

    difference: float
    low: float | None
    high: float | None
    effect_size: float | None
    p: float | None
    detectable: float | None


def paired(differences: Array, resamples: int = RESAMPLES) -> Paired:
    """Mean, interval, effect size, p-value and smallest detectable difference.

    Args:
        differences: ``[U]`` one value for each user, at least one: his metric under A less that under B.
        resamples: bootstrap resamples.

    Differences of zero throughout have p = 1. Other differences without any deviation (one user, or a few that
    moved by the same amount) give no scale to measure them by, and so neither p nor effect size.
    """
    difference = float(differences.mean())
    low, high = bootstrap_interval(differences, resamples)
    if not differences.any():
        return Paired(0.0, low, high, 0.0, 1.0, None)
    if len(differences) < 2 or np.ptp(differences) == 0:
        return Paired(difference, low, high, None, None, None)
    return Paired(
        difference, low, high, effect_size(differences), p_value(differences), smallest_detectable(differences)
    )


def bootstrap_interval(
    differences: Array, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float] | tuple[None, None]:
    """Percentile bootstrap interval, 95 %, of the mean over users (Efron, Annals of Statistics 1979).

    Args:
        differences: ``[U]``; fewer than two give no interval.
        resamples: times that U users are drawn with replacement.
        seed: of the draws, so that the same differences have the same interval.
    """
    users = len(differences)
    if users < 2:
        return None, None
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, BLOCK // users),
        confidence_level=1 - LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def effect_size(differences: Array) -> float:
    """Cohen's d_z: mean of the paired differences over their standard deviation (Cohen 1988, chapter 2)."""
    return float(differences.mean() / differences.std(ddof=1))


def p_value(differences: Array) -> float:
    """Two-sided p of the paired t-test: t = d_z √U with U - 1 degrees of freedom."""
    users = len(differences)
    return float(2 * stats.t.sf(abs(effect_size(differences)) * users**0.5, users - 1))


def smallest_detectable(differences: Array) -> float:
    """Smallest true difference that a two-sided test at 0.05 would find four times in five.

    (z_0.975 + z_0.8) · deviation / √U, with the deviation of the differences seen here; before any correction.
    """
    quantile = NormalDist().inv_cdf
    scale = quantile(1 - LEVEL / 2) + quantile(POWER)
    return float(scale * differences.std(ddof=1) / len(differences) ** 0.5)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests (Holm, Scandinavian Journal of Statistics 1979).

    The i-th smallest of m is multiplied by m - i + 1, none falls below a smaller one's, none exceeds 1. A test
    without a p-value is none and is not counted.
    """
    adjusted: list[float | None] = [None] * len(values)
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    largest = 0.0
    for done, (value, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - done) * value))
        adjusted[place] = largest
    return adjusted
