"""Significance tests of differences between methods, paired by user.

The paired t-test and the bootstrap over users keep their significance level at the usual numbers of users; the
Wilcoxon test does not (Ihemelandu and Ekstrand, SIGIR 2023). Formulas and sources: docs/evaluation.md.
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
# Resampled users held in memory at once: 8 MB of indices and as many of values, for any number of users.
BLOCK = 1 << 20


class Paired(NamedTuple):
    """Statistics of the per-user differences; None where there are too few users to compute one."""

    difference: float
    low: float | None
    high: float | None
    effect_size: float | None
    p: float | None
    detectable: float | None


def paired(differences: Array, resamples: int = RESAMPLES) -> Paired:
    """Compute mean, confidence interval, effect size, p-value and smallest detectable difference.

    If all differences are zero, p is 1. If they are equal but not zero (one user, for example), there is neither a
    p-value nor an effect size.

    Args:
        differences: ``[U]``, at least one user: the user's metric under A minus that under B.
        resamples: bootstrap resamples.
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
    """Compute the 95 % percentile bootstrap interval of the mean over users (Efron, Annals of Statistics 1979).

    Args:
        differences: ``[U]``; fewer than two users give no interval.
        resamples: number of times that U users are drawn with replacement.
        seed: random seed; the same differences give the same interval.
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
    """Compute Cohen's d_z: mean of the paired differences over their standard deviation (Cohen 1988, chapter 2)."""
    return float(differences.mean() / differences.std(ddof=1))


def p_value(differences: Array) -> float:
    """Compute the two-sided p-value of the paired t-test: t = d_z √U with U - 1 degrees of freedom."""
    users = len(differences)
    return float(2 * stats.t.sf(abs(effect_size(differences)) * users**0.5, users - 1))


def smallest_detectable(differences: Array) -> float:
    """Compute the smallest true difference that a two-sided test at 0.05 detects with power 0.8.

    (z_0.975 + z_0.8) · s / √U, with the standard deviation s of the observed differences; before any correction.
    """
    quantile = NormalDist().inv_cdf
    scale = quantile(1 - LEVEL / 2) + quantile(POWER)
    return float(scale * differences.std(ddof=1) / len(differences) ** 0.5)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests (Holm, Scandinavian Journal of Statistics 1979).

    The i-th smallest of m is multiplied by m - i + 1; the results are made monotone and capped at 1. Entries without
    a p-value are not counted.
    """
    adjusted: list[float | None] = [None] * len(values)
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    largest = 0.0
    for done, (value, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - done) * value))
        adjusted[place] = largest
    return adjusted
