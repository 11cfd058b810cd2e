"""Batches of histories as padded tensors, gathered from flat arrays on the device.

Shape legend: B batch, L history length, R rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray, expand
from lecdsr.data.profiles import TargetProfiles
from lecdsr.data.sequences import Sequences

Rows = IntArray | Tensor


@dataclass(frozen=True)
class Histories:
    """A batch of histories, left-padded.

    Args:
        sequence: ``[B, L]`` items in time order, latest last; padding on the left.
        position: ``[B, L]`` recency rank of each item among the items of its domain, 1 for the latest; 0 for padding.
        user: ``[B]`` users.
        day: ``[B, L]`` day of each interaction, since 1970-01-01 UTC; padding holds any day.
        items: number of items in the batch; ``None`` if only the device knows.
        profile: what is known of the users' profiles; ``None`` without profiles.
        domain: domain of the candidates, 0 or 1, if all histories are scored against the items of one; ``[B]`` of each
            history where they are scored against different ones.
    """

    sequence: Tensor
    position: Tensor
    user: Tensor
    day: Tensor
    items: int | None = field(default=None, kw_only=True)
    profile: HistoryProfiles | None = field(default=None, kw_only=True)
    domain: int | Tensor | None = field(default=None, kw_only=True)

    def to(self, device: torch.device) -> Histories:
        """Return the same batch on a device."""
        return self._with(lambda column: column.to(device), self.items)

    def rows(self, chosen: slice | Tensor) -> Histories:
        """Select histories; the number of items is no longer known."""
        return self._with(lambda column: column[chosen], None)

    def _with(self, change: Callable[[Tensor], Tensor], items: int | None) -> Histories:
        """Change every column in the same way."""
        columns = (change(column) for column in (self.sequence, self.position, self.user, self.day))
        profile = None if self.profile is None else HistoryProfiles(*(change(part) for part in self.profile))
        domain = change(self.domain) if isinstance(self.domain, Tensor) else self.domain
        return Histories(*columns, items=items, profile=profile, domain=domain)


class HistoryProfiles(NamedTuple):
    """What the next item after each item of a history may read of the user's profile.

    Args:
        row: ``[B, L]`` rows of :class:`~lecdsr.data.profiles.Profiles`; at the last place that of the target.
        age: ``[B, L]`` interactions between the profile and the next item.
    """

    row: Tensor
    age: Tensor


@dataclass(frozen=True)
class PrefixBatch:
    """One sample a target: the history before it, and the target ``[B]``.

    ``in_domain`` is the number of targets of X and of Y; ``None`` if only the device knows.
    """

    histories: Histories
    target: Tensor
    in_domain: tuple[int, int] | None = None


@dataclass(frozen=True)
class SequenceBatch:
    """One sample a window: inputs, and at each position the next item ``[B, L]`` or padding.

    ``in_domain`` is the number of targets of X and of Y; ``None`` if only the device knows.
    """

    histories: Histories
    targets: Tensor
    in_domain: tuple[int, int] | None = None

    def wanted(self, padding: int) -> tuple[Tensor, Tensor]:
        """``[M]`` places with a target in the flattened batch, and the targets there."""
        count = None if self.in_domain is None else sum(self.in_domain)
        places = true_places(self.targets != padding, count)
        return places, self.targets.flatten()[places]


def as_columns(profiles: TargetProfiles, device: torch.device) -> HistoryProfiles:
    """``[B, 1]`` one profile for each history, for models that read the last place alone."""
    return HistoryProfiles(*(to_device(torch.from_numpy(part).unsqueeze(1), device) for part in profiles[:2]))


class Gatherer:
    """Builder of batches of histories from :class:`Sequences` on one device, without a Python loop over items."""

    def __init__(self, sequences: Sequences, length: int, n_x: int, padding: int, device: torch.device) -> None:
        self.length, self.n_x, self.padding, self.device = length, n_x, padding, device
        # One more row of padding, to which indices outside a window are mapped.
        self.items = to_device(torch.from_numpy(np.append(sequences.items, padding)), device)
        self.days = to_device(torch.from_numpy(np.append(sequences.days, 0)), device)
        self.profiles = None if sequences.profiles is None else _per_row(sequences.profiles, device)

    def histories(self, user: Rows, start: Rows, end: Rows) -> Histories:
        """Gather the latest ``length`` items of the rows ``start`` … ``end``-1, left-padded; ``end`` is the target."""
        users, first, last = (self._here(rows) for rows in (user, start, end))
        row = last.unsqueeze(1) + torch.arange(-self.length, 0, device=self.device)  # [B, L]
        inside = row >= first.unsqueeze(1)
        row = row.masked_fill(~inside, len(self.items) - 1)
        sequence = self.items[row]  # [B, L]
        position = recency(sequence, self.n_x, self.padding)
        return Histories(sequence, position, users, self.days[row], profile=self._profiles_of_next(first, last))

    def _profiles_of_next(self, first: Tensor, last: Tensor) -> HistoryProfiles | None:
        """``[B, L]`` what the row after each item of the rows ``first`` … ``last``-1 may read, each ``[B]``.

        The row ``last`` reads a profile even if no item precedes it.
        """
        if self.profiles is None:
            return None
        row = last.unsqueeze(1) + torch.arange(-self.length + 1, 1, device=self.device)  # [B, L]
        wanted = (row > first.unsqueeze(1)) | (row == last.unsqueeze(1))
        row = row.masked_fill(~wanted, len(self.items) - 1)
        return HistoryProfiles(*(column[row] for column in self.profiles))

    def prefixes(self, samples: Samples, counts: Counts | None = None) -> PrefixBatch:
        """Histories before each target row, and the targets; with ``counts`` if these are known."""
        histories = self.histories(samples.user, samples.start, samples.row)
        target = self.items[self._here(samples.row)]
        if counts is None:
            return PrefixBatch(histories, target)
        return PrefixBatch(replace(histories, items=counts.items), target, counts.in_domain)

    def sequences(self, samples: Samples, counts: Counts | None = None) -> SequenceBatch:
        """Gather the inputs before ``row``'s last target, and the next item at every position with a target."""
        histories = self.histories(samples.user, samples.start, samples.row)
        row = self._here(samples.row).unsqueeze(1)
        row = row + torch.arange(-self.length + 1, 1, device=self.device)  # rows of the next items, [B, L]
        first = self._here(samples.first_target).unsqueeze(1)
        targets = self.items[row.masked_fill(row < first, len(self.items) - 1)]
        if counts is None:
            return SequenceBatch(histories, targets)
        return SequenceBatch(replace(histories, items=counts.items), targets, counts.in_domain)

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


class Counts(NamedTuple):
    """What a batch contains, counted on the host: a GPU's answer would cost a wait for all queued work.

    Args:
        items: items in the histories.
        in_domain: targets of X and of Y.
    """

    items: int
    in_domain: tuple[int, int]


class SampleCounts:
    """Items and targets of every sample, from which :meth:`of` adds up those of a batch.

    Args:
        samples: on the CPU.
        items: ``[R]`` items that the rows of the samples point at.
        n_x: items of domain X.
        length: latest items of a history that are read.
    """

    def __init__(self, samples: Samples, items: IntArray, n_x: int, length: int) -> None:
        start, first, row = (rows.numpy() for rows in (samples.start, samples.first_target, samples.row))
        of_y = np.append(0, np.cumsum(items >= n_x))  # [R+1] items of Y before each row
        in_y = of_y[row + 1] - of_y[first]
        self._columns = np.stack([np.minimum(row - start, length), row + 1 - first - in_y, in_y])  # [3, S]

    def of(self, chosen: IntArray) -> Counts:
        """Count what a batch of the chosen samples contains."""
        read, in_x, in_y = self._columns[:, chosen].sum(axis=1).tolist()
        return Counts(read, (in_x, in_y))


def _per_row(profiles: TargetProfiles, device: torch.device) -> HistoryProfiles:
    """``[R+1]`` what each row may read; unknown for padding."""
    row, age = np.append(profiles.profile, profiles.unknown), np.append(profiles.age, 0)
    return HistoryProfiles(*(to_device(torch.from_numpy(part), device) for part in (row, age)))


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


def true_places(mask: Tensor, count: int | None = None) -> Tensor:
    """Return the places of a mask that are true, in order, in the flattened mask.

    Args:
        mask: of any shape.
        count: how many are true, if known. On a GPU the host then need not wait for the device to tell.

    Returns:
        ``[count]`` places.
    """
    flat = mask.flatten()
    if count is None or mask.device.type == "cpu":
        return flat.nonzero().flatten()
    return flat.to(torch.uint8).argsort(descending=True, stable=True)[:count]


def distinct(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct ids ``[M]``, and the place of each of ``ids`` among them, in the shape of ``ids``.

    On a GPU all ids are returned as they are: work on repeated ids costs less there than the wait for their number. So
    they are in a graph for ONNX, which has no such operator.
    """
    if ids.device.type == "cpu" and not torch.compiler.is_exporting():
        found, inverse = torch.unique(ids, return_inverse=True)
        return found, inverse
    return ids.flatten(), torch.arange(ids.numel(), device=ids.device).view(ids.shape)


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
