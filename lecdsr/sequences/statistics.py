"""Statistics of the tables of a pair, collected while they are written, a chunk of users at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY, SPLITS, TEST, TRAIN

# Number of days since 1970 whose seconds fit into 32 bits.
DAYS = (1 << 32) // SECONDS_PER_DAY + 1


class SequenceStatistics:
    """Counts and sums over all chunks of users.

    Args:
        n_x: number of items of domain X; items from ``n_x`` on are of domain Y.
        n_items: number of items of both domains.

    Attributes:
        train_count: ``[N]`` training interactions of each item.
    """

    def __init__(self, n_x: int, n_items: int) -> None:
        self.n_x = n_x
        self.train_count = np.zeros(n_items, np.int64)
        self.users = self.users_of_both = self.interactions = self.training_targets = 0
        self.targets = np.zeros((len(SPLITS), len(DOMAINS)), np.int64)
        self.tied = np.zeros(len(SPLITS), np.int64)
        self.days = np.zeros(DAYS, np.int64)
        self.training_days = np.zeros(DAYS, np.int64)
        self.test_days = np.zeros(DAYS, np.int64)

    def add(self, item: IntArray, time: IntArray, part: NDArray[np.int8], windows: pa.Table, both: int) -> None:
        """Add the interactions and windows of a chunk of users, each with all their rows.

        Args:
            item: ``[R]`` items.
            time: ``[R]`` times in seconds.
            part: ``[R]`` splits.
            windows: windows of these users; their row numbers count from 0 in this chunk.
            both: number of these users with interactions in both domains.
        """
        day = time // SECONDS_PER_DAY
        training = part == TRAIN
        self.train_count += np.bincount(item[training], minlength=len(self.train_count))
        self.days += np.bincount(day, minlength=DAYS)
        self.training_days += np.bincount(day[training], minlength=DAYS)
        self.interactions += len(item)
        self.users_of_both += both
        split, end = (windows[name].to_numpy() for name in ("split", "end"))
        self.training_targets += int((end - windows["first_target"].to_numpy())[split == TRAIN].sum())
        held_out = split != TRAIN
        target = end[held_out] - 1
        np.add.at(self.targets, (split[held_out], (item[target] >= self.n_x).astype(np.int8)), 1)
        tied = windows["tied"].to_numpy(zero_copy_only=False)
        self.tied += np.bincount(split[tied], minlength=len(SPLITS))
        self.test_days += np.bincount(day[end[split == TEST] - 1], minlength=DAYS)

    def facts(self) -> dict[str, Any]:
        """Return the counts and shares that the metrics report."""
        found: dict[str, Any] = {
            "users": self.users,
            "users_of_both": self.users_of_both,
            "one_domain_share": 1 - self.users_of_both / max(self.users, 1),
            "items_x": self.n_x,
            "items_y": len(self.train_count) - self.n_x,
            "interactions": self.interactions,
            "mean_length": self.interactions / max(self.users, 1),
            "training_targets": self.training_targets,
        }
        for code, name in enumerate(SPLITS[1:], start=1):
            for domain, key in enumerate(DOMAINS):
                found[f"{name}_targets_{key}"] = int(self.targets[code, domain])
            found[f"{name}_tied_share"] = float(self.tied[code] / max(self.targets[code].sum(), 1))
        found["training_later_than_test_share"] = self._later_share()
        found["items_unseen_in_training"] = int((self.train_count == 0).sum())
        seen = np.flatnonzero(self.days)
        found["first_day"], found["last_day"] = (str(np.datetime64(int(day), "D")) for day in seen[[0, -1]])
        return found

    def _later_share(self) -> float:
        """Mean over test targets of the share of training interactions that happened on a later day than the target.

        If it is above 0, training uses the future of some targets (Ji et al., TOIS 2023).
        """
        later = self.training_days.sum() - np.cumsum(self.training_days)
        pairs = int((later * self.test_days).sum())
        return pairs / max(int(self.test_days.sum()) * int(self.training_days.sum()), 1)
