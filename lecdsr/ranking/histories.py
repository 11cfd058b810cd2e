"""Windows of interactions as tensors: flat arrays and offsets, gathered into batches.

Shape legend: B batch, L history length, W windows, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.base.arrays import IntArray, expand
from lecdsr.base.schemas import SECONDS_PER_DAY, TRAIN
from lecdsr.ranking.frame import Histories

Rows = IntArray | Tensor


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


@dataclass(frozen=True)
class PrefixBatch:
    """One sample a target: the history before it, and the target ``[B]``."""

    histories: Histories
    target: Tensor


@dataclass(frozen=True)
class SequenceBatch:
    """One sample a window: inputs, and at each position the next item ``[B, L]`` or padding."""

    histories: Histories
    targets: Tensor


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


class Gatherer:
    """Cuts batches of histories out of :class:`Sequences` on one device, without Python per item."""

    def __init__(self, sequences: Sequences, length: int, n_x: int, padding: int, device: torch.device) -> None:
        self.length, self.n_x, self.padding, self.device = length, n_x, padding, device
        # One padding row more, so that an index out of a window has somewhere to point.
        self.items = torch.from_numpy(np.append(sequences.items, padding)).to(device)
        self.days = torch.from_numpy(np.append(sequences.days, 0)).to(device)

    def histories(self, user: Rows, start: Rows, end: Rows) -> Histories:
        """Histories of rows ``start`` … ``end``-1, the latest ``length`` of them, left-padded."""
        users, first, last = (self._here(rows) for rows in (user, start, end))
        row = last.unsqueeze(1) + torch.arange(-self.length, 0, device=self.device)  # [B, L]
        inside = row >= first.unsqueeze(1)
        row = torch.where(inside, row, len(self.items) - 1)
        sequence = self.items[row]  # [B, L]
        return Histories(sequence, recency(sequence, self.n_x, self.padding), users, self.days[row])

    def prefixes(self, samples: Samples) -> PrefixBatch:
        """Histories before each target row, and the targets."""
        target = self.items[self._here(samples.row)]
        return PrefixBatch(self.histories(samples.user, samples.start, samples.row), target)

    def sequences(self, samples: Samples) -> SequenceBatch:
        """Inputs ending before ``row``'s last target, and the next item at every target position."""
        histories = self.histories(samples.user, samples.start, samples.row)
        row = self._here(samples.row).unsqueeze(1)
        row = row + torch.arange(-self.length + 1, 1, device=self.device)  # [B, L] rows of next items
        first = self._here(samples.first_target).unsqueeze(1)
        targets = self.items[torch.where(row >= first, row, len(self.items) - 1)]
        return SequenceBatch(histories, targets)

    def _here(self, rows: Rows) -> Tensor:
        return to_device(torch.as_tensor(rows), self.device)


@dataclass(frozen=True)
class Samples:
    """Training samples: history from ``start``, target at ``row`` (the last one of a sequence sample).

    ``first_target`` is the first row with a loss in a sequence sample, ``row`` itself in a prefix one.
    """

    user: Tensor
    start: Tensor
    first_target: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Rows) -> Samples:
        """The chosen samples."""
        rows = torch.as_tensor(chosen, device=self.row.device)
        return Samples(self.user[rows], self.start[rows], self.first_target[rows], self.row[rows])

    def to(self, device: torch.device) -> Samples:
        """The same samples on a device."""
        return Samples(*(to_device(rows, device) for rows in (self.user, self.start, self.first_target, self.row)))


def prefix_samples(training: Sequences) -> Samples:
    """One sample for every training target."""
    window, row = expand(training.first_target, training.end)
    return _samples(training.user[window], training.start[window], row, row)


def sequence_samples(training: Sequences, length: int) -> Samples:
    """One sample for every window; a window of more targets than ``length`` is cut into several.

    Pieces are cut from the end, and every target is in exactly one.
    """
    count = -(-(training.end - training.first_target) // length)
    window, piece = expand(np.zeros_like(count), count)
    row = training.end[window] - 1 - piece * length
    first = np.maximum(training.first_target[window], row - length + 1)
    return _samples(training.user[window], training.start[window], first, row)


def _samples(*columns: IntArray) -> Samples:
    return Samples(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; on its way to a GPU from pinned memory, so that nobody waits for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def recency(sequence: Tensor, n_x: int, padding: int) -> Tensor:
    """Recency rank of each item within its own domain: 1 the latest, 0 padding. ``[B, L]`` -> ``[B, L]``."""
    rank = torch.zeros_like(sequence)
    for inside in (sequence < n_x, (sequence >= n_x) & (sequence != padding)):
        from_end = inside.flip(1).cumsum(1).flip(1)
        rank = torch.where(inside, from_end, rank)
    return rank
