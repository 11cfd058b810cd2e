"""Tables of ranks for the tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lecdsr.core.schemas import RANKS, TEST, VALID


def ranks(rows: list[tuple[int, int, int, int, float]], split: int = TEST, **changed: object) -> pa.Table:
    """Build ranks from rows of (user, domain, target, train_count, full rank); sampled ranks are half of full ranks."""
    user, domain, target, count, full = zip(*rows, strict=True)
    columns = {
        "split": np.full(len(rows), split),
        "user": user,
        "domain": domain,
        "target": target,
        "day_tied": np.zeros(len(rows), bool),
        "train_count": count,
        "history": np.ones(len(rows)),
        "history_own": np.ones(len(rows)),
        "rank_sampled": np.array(full) / 2,
        "rank_full": full,
    }
    return pa.table({**columns, **changed}).cast(RANKS)


def random_ranks(quality: float, seed: int, users: int = 150) -> pa.Table:
    """Give every user a target in each domain and split; the targets do not depend on quality and seed."""
    targets, chance = np.random.default_rng(0), np.random.default_rng(seed)
    size = 4 * users
    full = 1 + np.floor(targets.gamma(2, 20, size) * chance.exponential(1, size) / quality)
    columns = {
        "split": np.repeat([VALID, TEST], 2 * users),
        "user": np.tile(np.arange(users), 4),
        "domain": np.tile(np.repeat([0, 1], users), 2),
        "target": targets.integers(0, 500, size),
        "day_tied": targets.random(size) < 0.3,
        "train_count": targets.integers(0, 30, size),
        "history": targets.integers(1, 9, size),
        "history_own": targets.integers(0, 30, size),
        "rank_sampled": np.ceil(full / 3),
        "rank_full": full,
    }
    return pa.table(columns).cast(RANKS)
