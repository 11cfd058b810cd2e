"""Measure how far full and sampled ranking put methods in the same order, with an interval over users."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import Options, Side, values_by_user
from lecdsr.evaluate.significance import LEVEL, SEED

Array = NDArray[np.float64]
#: Metric by which methods are ordered.
METRIC = "ndcg@10"
RESAMPLES = 1000


class Agreement(NamedTuple):
    """Share of the method pairs in one domain that full and sampled ranking put in the same order."""

    domain: str
    users: int
    pairs: int
    same: int
    low: float
    high: float


def agreement(sides: Sequence[Side], options: Options) -> list[Agreement]:
    """Compare the orders of methods by NDCG@10 in full and sampled ranking, by domain.

    The 95 % interval of the share is the percentile bootstrap over users (Efron, Annals of Statistics 1979): in every
    resample both orders are computed again. Two methods that are level in one ranking agree if they are level in the
    other too.

    Args:
        sides: two or more methods, which rank the same targets.
        options: split to compare on.
    """
    found = []
    for code, domain in enumerate(DOMAINS):
        full, sampled = (_scores(sides, options, code, protocol) for protocol in ("full", "sampled"))  # [M, U]
        users = full.shape[1]
        if users == 0:
            continue
        rng = np.random.default_rng(SEED)
        shares = []
        for _ in range(RESAMPLES):
            weights = np.bincount(rng.integers(0, users, users), minlength=users) / users
            shares.append(_same(full @ weights, sampled @ weights).mean())
        observed = _same(full.mean(axis=1), sampled.mean(axis=1))
        low, high = np.quantile(shares, [LEVEL / 2, 1 - LEVEL / 2])
        found.append(Agreement(domain, users, len(observed), int(observed.sum()), float(low), float(high)))
    return found


def _scores(sides: Sequence[Side], options: Options, domain: int, protocol: str) -> Array:
    """Return NDCG@10 of each method and user, averaged over the seeds of the method, ``[M, U]``."""
    return np.stack([values_by_user(side, options, domain, protocol, METRIC).mean(axis=0) for side in sides])


def _same(full: Array, sampled: Array) -> NDArray[np.bool_]:
    """Return, for each pair of methods, whether both measures order them alike; scores are compared to 12 digits."""
    places = list(itertools.combinations(range(len(full)), 2))
    first, second = np.array(places).T
    signs = [np.sign(np.round(scores[first] - scores[second], 12)) for scores in (full, sampled)]
    same: NDArray[np.bool_] = signs[0] == signs[1]
    return same
