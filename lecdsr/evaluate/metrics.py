"""Ranking metrics. A target has one relevant item, so NDCG@k is 1 / log2(1 + rank) if rank ≤ k, else 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MONITOR = "ndcg@10"
_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


def per_target(ranks: Array) -> dict[str, Array]:
    """Compute HR@1/5/10, NDCG@5/10, MRR and MRR@10 of every target.

    Args:
        ranks: ``[T]``, 1 is best; ties may make them fractional.
    """
    metrics = {f"hr@{k}": (ranks <= k).astype(np.float64) for k in (1, 5, 10)}
    for k in (5, 10):
        metrics[f"ndcg@{k}"] = np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)
    metrics["mrr"] = 1 / ranks
    metrics["mrr@10"] = np.where(ranks <= 10, 1 / ranks, 0.0)
    return metrics


def expected_reciprocal_rank(ranks: Array, others: Array, negatives: int) -> Array:
    """Compute the expected reciprocal rank among negatives that are drawn uniformly without replacement.

    With rank r among M others, r - 1 of them are better. The better ones H among n negatives follow a hypergeometric
    distribution, and from ``C(K, h) / (h + 1) = C(K + 1, h + 1) / (K + 1)`` and Vandermonde's identity

    ``E[1 / (1 + H)] = (M + 1) / ((n + 1) r) · (1 - C(M - r + 1, n + 1) / C(M + 1, n + 1))``.

    So one full ranking gives what sampled rankings give on average, without their noise.

    Args:
        ranks: ``[T]`` full ranks; ties may make them fractional.
        others: ``[T]`` items that each target was ranked among.
        negatives: negatives of each target; all others if there are fewer.
    """
    drawn = np.minimum(others, negatives) + 1
    # With n worse ones or fewer the quotient is zero.
    worse = np.maximum(others - ranks + 1, drawn - 1 + 1e-9)
    # Logarithms of the factorials in the quotient C(worse, drawn) / C(others + 1, drawn), which would overflow.
    above = _log_gamma(worse + 1) - _log_gamma(worse - drawn + 1)
    below = _log_gamma(others + 2) - _log_gamma(others - drawn + 2)
    found: Array = (others + 1) / (drawn * ranks) * (1 - np.exp(above - below))
    return found


def mean_over_users(ranks: Array, users: NDArray[np.int64]) -> dict[str, float]:
    """Average each metric over the targets of a user first, then over users.

    Args:
        ranks: ``[T]`` ranks, at least one.
        users: ``[T]`` user of each target.
    """
    _, user = np.unique(users, return_inverse=True)
    return {name: float(values.mean()) for name, values in user_means(ranks, user).items()}


def user_means(ranks: Array, user: NDArray[np.int64]) -> dict[str, Array]:
    """Compute each metric of each user, averaged over the user's targets.

    Args:
        ranks: ``[T]``.
        user: ``[T]`` dense user number of each target: every number from 0 to U-1 occurs.

    Returns:
        ``[U]`` for each metric.
    """
    targets = np.bincount(user)
    values = per_target(ranks.astype(np.float64))
    return {name: np.bincount(user, weights=each) / targets for name, each in values.items()}
