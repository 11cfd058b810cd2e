"""Batches of histories as padded tensors, gathered from flat arrays on the device.

Shape legend: B batch, L history length, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray, expand
from lecdsr.data.sequences import Sequences

Rows = IntArray | Tensor


@dataclass(frozen=True)
class Histories:
    """A batch of histories, left-padded.

    Args:
        sequence: ``[B, L]`` items in time order, latest last; padding on the left.
        position: ``[B, L]`` recency rank of each item among the items of its domain, 1 for the latest; 0 for padding.
        user: ``[B]`` users.
        day: ``[B, L]`` day of each interaction, since 1970-01-01 UTC; arbitrary for padding.
    """

    sequence: Tensor
    position: Tensor
    user: Tensor
    day: Tensor

    def to(self, device: torch.device) -> Histories:
        """Return the same batch on a device."""
        return Histories(*(part.to(device) for part in (self.sequence, self.position, self.user, self.day)))


@dataclass(frozen=True)
class PrefixBatch:
    """One sample per target: the history before it, and the target ``[B]``."""

    histories: Histories
    target: Tensor


@dataclass(frozen=True)
class SequenceBatch:
    """One sample per window: the inputs, and for each position the next item ``[B, L]`` or padding."""

    histories: Histories
    targets: Tensor


class Gatherer:
    """Builder of batches of histories from :class:`Sequences` on one device, without a Python loop over items."""

    def __init__(self, sequences: Sequences, length: int, n_x: int, padding: int, device: torch.device) -> None:
        self.length, self.n_x, self.padding, self.device = length, n_x, padding, device
        # One more row of padding, to which indices outside a window are mapped.
        self.items = torch.from_numpy(np.append(sequences.items, padding)).to(device)
        self.days = torch.from_numpy(np.append(sequences.days, 0)).to(device)

    def histories(self, user: Rows, start: Rows, end: Rows) -> Histories:
        """Gather the latest ``length`` items of the rows ``start`` … ``end``-1, left-padded."""
        users, first, last = (self._here(rows) for rows in (user, start, end))
        row = last.unsqueeze(1) + torch.arange(-self.length, 0, device=self.device)  # [B, L]
        inside = row >= first.unsqueeze(1)
        row = torch.where(inside, row, len(self.items) - 1)
        sequence = self.items[row]  # [B, L]
        return Histories(sequence, recency(sequence, self.n_x, self.padding), users, self.days[row])

    def prefixes(self, samples: Samples) -> PrefixBatch:
        """Gather the history before each target row, and the targets."""
        target = self.items[self._here(samples.row)]
        return PrefixBatch(self.histories(samples.user, samples.start, samples.row), target)

    def sequences(self, samples: Samples) -> SequenceBatch:
        """Gather the inputs before ``row``'s last target, and the next item at every position with a target."""
        histories = self.histories(samples.user, samples.start, samples.row)
        row = self._here(samples.row).unsqueeze(1)
        row = row + torch.arange(-self.length + 1, 1, device=self.device)  # rows of the next items, [B, L]
        first = self._here(samples.first_target).unsqueeze(1)
        targets = self.items[torch.where(row >= first, row, len(self.items) - 1)]
        return SequenceBatch(histories, targets)

    def _here(self, rows: Rows) -> Tensor:
        return to_device(torch.as_tensor(rows), self.device)


@dataclass(frozen=True)
class Samples:
    """Training samples: a history from row ``start`` on, and a target at ``row`` (the last one of a sequence sample).

    ``first_target`` is the first row with a loss in a sequence sample, and ``row`` itself in a prefix sample.
    """

    user: Tensor
    start: Tensor
    first_target: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Rows) -> Samples:
        """Select samples."""
        rows = torch.as_tensor(chosen, device=self.row.device)
        return Samples(self.user[rows], self.start[rows], self.first_target[rows], self.row[rows])

    def to(self, device: torch.device) -> Samples:
        """Return the same samples on a device."""
        return Samples(*(to_device(rows, device) for rows in (self.user, self.start, self.first_target, self.row)))


def prefix_samples(training: Sequences) -> Samples:
    """Make one sample per training target."""
    window, row = expand(training.first_target, training.end)
    return _samples(training.user[window], training.start[window], row, row)


def sequence_samples(training: Sequences, length: int) -> Samples:
    """Make one sample per window; a window with more targets than ``length`` is cut into several samples.

    Windows are cut from the end, and every target is in exactly one sample.
    """
    count = -(-(training.end - training.first_target) // length)
    window, piece = expand(np.zeros_like(count), count)
    row = training.end[window] - 1 - piece * length
    first = np.maximum(training.first_target[window], row - length + 1)
    return _samples(training.user[window], training.start[window], first, row)


def _samples(*columns: IntArray) -> Samples:
    return Samples(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; to a GPU from pinned memory, so that copying overlaps with computation."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def recency(sequence: Tensor, n_x: int, padding: int) -> Tensor:
    """Compute the recency rank of each item within its own domain, ``[B, L]``: 1 for the latest, 0 for padding."""
    rank = torch.zeros_like(sequence)
    for inside in (sequence < n_x, (sequence >= n_x) & (sequence != padding)):
        from_end = inside.flip(1).cumsum(1).flip(1)
        rank = torch.where(inside, from_end, rank)
    return rank
