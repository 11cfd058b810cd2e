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


@dataclass(frozen=True)
class Sequences:
    """Windows over a flat array of items.

    Args:
        items: ``[R]`` items; the rows that windows point at.
        days: ``[R]`` their days, since 1970-01-01 UTC.
        split, user, start, first_target, end: ``[W]`` as in the windows table.
        tied: ``[W]`` as in the windows table.
        target: ``[W]`` the item of the last row.
        target_row: ``[W]`` row of the target in the interactions table.
        seen_start: ``[W]`` first row of the user in the interactions table; with ``target_row`` it
            bounds all that the user is known to have had before the target.
        seen_items: items of the interactions table.
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

    def __len__(self) -> int:
        return len(self.start)

    def take(self, chosen: NDArray[np.bool_] | IntArray) -> Sequences:
        """The chosen windows over the same rows."""
        names = ("split", "user", "start", "first_target", "end", "tied", "target", "target_row", "seen_start")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def of_split(self, split: int) -> Sequences:
        """The windows of one split."""
        return self.take(self.split == split)


def from_tables(interactions: pa.Table, windows: pa.Table) -> Sequences:
    """Build the windows over the interactions, histories of both domains mixed."""
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
    )


def own_domain(sequences: Sequences, n_x: int) -> Sequences:
    """Windows whose histories hold items of the target's domain only: the one-domain control.

    A training window becomes two, one of each domain. A row stays a training target if it was one
    and has an item of its own domain before it. Validation and test keep their target, even where
    no history is left.
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
    # Rows are in time order, so the targets of a part are its tail.
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
    )
    return own.take(own.first_target < own.end)


def before_in_domain(sequences: Sequences, n_x: int) -> IntArray:
    """``[W]`` interactions that the user had in the target's domain before the target."""
    in_y = np.append(0, np.cumsum(sequences.seen_items >= n_x))  # [R+1] of Y before each row
    of_y = in_y[sequences.target_row] - in_y[sequences.seen_start]
    of_x = sequences.target_row - sequences.seen_start - of_y
    own: IntArray = np.where(sequences.target >= n_x, of_y, of_x)
    return own


def shuffled(sequences: Sequences, seed: int) -> Sequences:
    """Windows whose items have no order: the control that tells what order is worth.

    All items of a training window change places, those it learns to predict included. Validation and test keep
    their target, and all items of the window before it change places; a model that reads the latest L then reads any L.
    The places are drawn from ``seed``, apart for every window. Days stay where they are.
    """
    size = sequences.end - sequences.start
    window, row = expand(sequences.start, sequences.end)
    key = np.random.default_rng(seed).random(len(row))  # [R] in [0, 1)
    key[(row == sequences.end[window] - 1) & (sequences.split[window] != TRAIN)] = 1
    items = sequences.items[row[np.lexsort((key, window))]]
    end = np.cumsum(size)
    start = end - size
    return replace(
        sequences,
        items=items,
        days=sequences.days[row],
        start=start,
        first_target=start + sequences.first_target - sequences.start,
        end=end,
        target=items[end - 1],
    )
