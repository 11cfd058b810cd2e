"""Windows of interactions as flat arrays and offsets.

Shape legend: W windows, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray, expand
from lecdsr.core.schemas import SECONDS_PER_DAY, TRAIN
from lecdsr.data.profiles import TargetProfiles


@dataclass(frozen=True)
class Sequences:
    """Windows over a flat array of items.

    Args:
        items: ``[R]`` items in the rows that windows point at.
        days: ``[R]`` days of the rows, since 1970-01-01 UTC.
        split, user, start, first_target, end: ``[W]`` columns of the windows table.
        tied: ``[W]`` column of the windows table.
        target: ``[W]`` item of each window's last row.
        target_row: ``[W]`` row of the target in the interactions table.
        seen_start: ``[W]`` first row of the user in the interactions table; the rows from here to ``target_row`` hold
          every item that the user had before the target.
        seen_items: items of the interactions table.
        profiles: ``[R]`` profile that the item of a row may read if it is a target; ``None`` without profiles.
    """

    items: IntArray
    days: IntArray
    split: IntArray
    user: IntArray
    start: IntArray
    first_target: IntArray
    end: IntArray
    tied: NDArray[np.bool_]
    target: IntArray
    target_row: IntArray
    seen_start: IntArray
    seen_items: IntArray
    profiles: TargetProfiles | None = None

    def __len__(self) -> int:
        return len(self.start)

    def take(self, chosen: NDArray[np.bool_] | IntArray) -> Sequences:
        """Select windows over the same rows."""
        names = ("split", "user", "start", "first_target", "end", "tied", "target", "target_row", "seen_start")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def of_split(self, split: int) -> Sequences:
        """Select the windows of one split."""
        return self.take(self.split == split)

    def with_targets_after(self, history: int) -> Sequences:
        """Make every item with at least ``history`` items before it in its window a target."""
        return replace(self, first_target=np.minimum(self.start + history, self.end))


def from_tables(interactions: pa.Table, windows: pa.Table, profiles: TargetProfiles | None = None) -> Sequences:
    """Build windows over the interactions, with both domains mixed in a history.

    Args:
        interactions: table ``INTERACTIONS``.
        windows: table ``WINDOWS``.
        profiles: what each interaction may read as a target.
    """
    items = interactions["item"].to_numpy().astype(np.int64)
    users = interactions["user"].to_numpy()
    column = {name: windows[name].to_numpy().astype(np.int64) for name in windows.column_names if name != "tied"}
    last = column["end"] - 1
    return Sequences(
        items=items,
        days=interactions["time"].to_numpy() // SECONDS_PER_DAY,
        split=column["split"],
        user=column["user"],
        start=column["start"],
        first_target=column["first_target"],
        end=column["end"],
        tied=windows["tied"].to_numpy(zero_copy_only=False),
        target=items[last],
        target_row=last,
        seen_start=np.searchsorted(users, column["user"], side="left"),
        seen_items=items,
        profiles=profiles,
    )


def own_domain(sequences: Sequences, n_x: int) -> Sequences:
    """Restrict every history to the target's domain, as the control with one domain.

    A training window becomes two, one per domain. A row stays a training target if it was one and has an earlier item
    of its domain. Validation and test windows keep their target, even if no history is left.
    """
    window, row = expand(sequences.start, sequences.end)
    item = sequences.items[row]
    domain = (item >= n_x).astype(np.int64)
    wanted = (sequences.split[window] == TRAIN) | (domain == (sequences.target >= n_x)[window])
    window, row, item, domain = window[wanted], row[wanted], item[wanted], domain[wanted]
    order = np.lexsort((row, domain, window))
    window, row, item, domain = window[order], row[order], item[order], domain[order]
    part, start, size = np.unique(window * 2 + domain, return_index=True, return_counts=True)
    parent = part // 2
    # Rows are in time order, so the targets of a part are at its end.
    reached = row >= sequences.first_target[window]
    first = start + size - np.add.reduceat(reached.astype(np.int64), start)
    training = sequences.split[parent] == TRAIN
    first = np.where(training, np.maximum(first, start + 1), start + size - 1)
    own = replace(
        sequences.take(parent),
        items=item,
        days=sequences.days[row],
        start=start.astype(np.int64),
        first_target=first,
        end=start + size,
        target=item[start + size - 1],
        target_row=row[start + size - 1],
        profiles=_taken(sequences.profiles, row),
    )
    return own.take(own.first_target < own.end)


def before_in_domain(sequences: Sequences, n_x: int) -> IntArray:
    """Count the interactions that the user had in the target's domain before the target, ``[W]``."""
    in_y = np.append(0, np.cumsum(sequences.seen_items >= n_x))  # items of Y before each row, [R+1]
    of_y = in_y[sequences.target_row] - in_y[sequences.seen_start]
    of_x = sequences.target_row - sequences.seen_start - of_y
    own: IntArray = np.where(sequences.target >= n_x, of_y, of_x)
    return own


def shuffled(sequences: Sequences, seed: int) -> Sequences:
    """Shuffle the items of every window, as the control that measures the value of order.

    All items of a training window change places, including its targets. Validation and test windows keep their target,
    and all items before it change places; a model that reads the latest L items then reads any L. Every window is
    shuffled separately, by ``seed``. Days are not moved. Every training target of a window reads the profile that its
    first row may read, because any of its items can stand anywhere.
    """
    size = sequences.end - sequences.start
    window, row = expand(sequences.start, sequences.end)
    key = np.random.default_rng(seed).random(len(row))  # [R] in [0, 1)
    key[(row == sequences.end[window] - 1) & (sequences.split[window] != TRAIN)] = 1
    items = sequences.items[row[np.lexsort((key, window))]]
    end = np.cumsum(size)
    start = end - size
    training = sequences.split[window] == TRAIN
    return replace(
        sequences,
        profiles=_taken(sequences.profiles, np.where(training, sequences.start[window], row)),
        items=items,
        days=sequences.days[row],
        start=start,
        first_target=start + sequences.first_target - sequences.start,
        end=end,
        target=items[end - 1],
    )


def _taken(profiles: TargetProfiles | None, rows: IntArray) -> TargetProfiles | None:
    """Select rows of what targets may read."""
    return None if profiles is None else profiles.take(rows)
