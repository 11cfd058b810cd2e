"""Small tables for tests: a few users and items in two domains."""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lecdsr.core.schemas import INTERACTIONS, ITEMS, SECONDS_PER_DAY, WINDOWS
from lecdsr.data.info import DatasetInfo
from lecdsr.data.profiles import Profiles, target_profiles
from lecdsr.data.sequences import Sequences, from_tables
from lecdsr.sequences.split import leave_one_out


def info(n_x: int = 6, n_y: int = 5, n_users: int = 4, width: int = 8, seed: int = 0) -> DatasetInfo:
    generator = torch.Generator().manual_seed(seed)
    n = n_x + n_y
    items = torch.randn(n + 1, width, generator=generator)
    items[n] = 0
    found = profiles(n_users, torch.randn(2 * n_users + 9, width, generator=generator))
    return DatasetInfo(n_x, n_y, n_users, items, found, torch.arange(n), (0, 9))


def profiles(n_users: int, texts: Tensor) -> Profiles:
    """Build two versions of every user's profile but the last user's, who has none.

    The first version is as of day 1 for user 0 and of day 0 for the others; the second as of day 3. Lists have none to
    three phrases, which are the first nine ``texts [9 + 2 * (n_users - 1) or more, D]``; the others are whole profiles.
    """
    user = np.repeat(np.arange(n_users - 1), 2)
    day = np.where(np.arange(len(user)) % 2, 3, user == 0)
    count, padding = len(user), len(texts)
    lists = torch.full((count + 1, 2, 3), padding)
    for profile in range(count):
        for domain, sizes in enumerate(((3, 2, 3, 0), (2, 3, 1))):
            size = sizes[profile % len(sizes)]
            lists[profile, domain, :size] = (5 * profile + 4 * domain + torch.arange(size)) % 9
    whole = torch.cat([9 + torch.arange(count), torch.tensor([padding])])
    return Profiles(user, day * SECONDS_PER_DAY, torch.nn.functional.pad(texts, (0, 0, 0, 1)), whole, lists)


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


def sequences(
    histories: list[list[int]], n_x: int, min_history: int = 1, profiles: Profiles | None = None
) -> Sequences:
    table = interactions(histories, n_x)
    split = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), min_history)
    return from_tables(table, split.windows, profiles and target_profiles(profiles, table))


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
