"""Small tables for tests: a few users and items in two domains."""

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.schemas import INTERACTIONS, ITEMS, SECONDS_PER_DAY, WINDOWS
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences, from_tables
from lecdsr.sequences.split import leave_one_out


def info(n_x: int = 6, n_y: int = 5, n_users: int = 4, width: int = 8, seed: int = 0) -> DatasetInfo:
    generator = torch.Generator().manual_seed(seed)
    n = n_x + n_y
    items = torch.randn(n + 1, width, generator=generator)
    items[n] = 0
    users = torch.zeros(n_users + 1, width)
    users[:n_users] = torch.randn(n_users, width, generator=generator)
    return DatasetInfo(n_x, n_y, n_users, items, users, torch.arange(n), (0, 9))


def interactions(histories: list[list[int]], n_x: int, days: list[list[int]] | None = None) -> pa.Table:
    """Build interactions from one list of items per user, with one item per day unless ``days`` is given."""
    user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    item = np.concatenate([np.array(history) for history in histories])
    day = np.concatenate([np.array(row) for row in days or [list(range(len(h))) for h in histories]])
    columns = {
        "user": user,
        "item": item,
        "domain": (item >= n_x).astype(np.int8),
        "time": day * SECONDS_PER_DAY,
        "rating": np.full(len(item), 5.0),
        "split": np.zeros(len(item), np.int8),
    }
    return pa.table(columns).cast(INTERACTIONS)


def windows_table(rows: list[tuple[int, int, int, int, int]]) -> pa.Table:
    """Build windows, one row per (split, user, start, first_target, end); none of them tied."""
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    table = dict(zip(("split", "user", "start", "first_target", "end"), columns, strict=True))
    return pa.table({**table, "tied": np.zeros(len(rows), bool)}).cast(WINDOWS)


def sequences(histories: list[list[int]], n_x: int, min_history: int = 1) -> Sequences:
    table = interactions(histories, n_x)
    split = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), min_history)
    return from_tables(table, split.windows)


def items_table(n_x: int, n_y: int) -> pa.Table:
    n = n_x + n_y
    columns = {
        "item": np.arange(n),
        "domain": (np.arange(n) >= n_x).astype(np.int8),
        "asin": [f"B{i:09d}" for i in range(n)],
        "title": [f"title {i}" for i in range(n)],
        "brand": [""] * n,
        "categories": pa.array([[] for _ in range(n)], pa.list_(pa.string())),
        "description": [""] * n,
        "train_count": np.ones(n),
    }
    return pa.table(columns).cast(ITEMS)


def circle(n: int) -> list[list[int]]:
    """Make walks of nine steps on one circle of ``n`` items of X and ``n`` of Y in turn, one walk from every item."""
    in_x = np.random.default_rng(0).permutation(n)
    items = [int(item) for pair in zip(in_x, n + np.arange(n), strict=True) for item in pair]
    return [[items[(start + step) % (2 * n)] for step in range(9)] for start in range(2 * n)]
