"""Ranking metrics. A target has one relevant item, so NDCG@k is 1 / log2(1 + rank) if rank ≤ k, else 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MONITOR = "ndcg@10"


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
