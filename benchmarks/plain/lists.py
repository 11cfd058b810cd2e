"""Histories, positions and negatives as Python lists, one sample at a time."""

from __future__ import annotations

import random
from typing import TypeAlias

from torch import Tensor, stack
from torch.utils.data import Dataset

from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences

#: History ``[L]``, positions ``[L]``, user, and candidates ``[1 + K]`` with the target first.
Sample: TypeAlias = tuple[list[int], list[int], int, list[int]]


class Lists(Dataset[Sample]):
    """One sample per target: the ``length`` items before it, left-padded, and negatives that are drawn once.

    Args:
        sequences: windows, each of whose targets is a sample.
        catalogue: sizes of the domains.
        length: number of history items.
        negatives: number of negatives per target, drawn from its domain with replacement, never the target itself.
        seed: random seed of the draw.
    """

    def __init__(self, sequences: Sequences, info: DatasetInfo, length: int, negatives: int, seed: int) -> None:
        rng = random.Random(seed)
        self.samples: list[Sample] = []
        windows = zip(
            sequences.user.tolist(),
            sequences.start.tolist(),
            sequences.first_target.tolist(),
            sequences.end.tolist(),
            strict=True,
        )
        for user, start, first, end in windows:
            items = sequences.items[start:end].tolist()
            for place in range(first - start, end - start):
                history = items[max(0, place - length) : place]
                candidates = [items[place]]
                inside = range(*info.items_of(int(items[place] >= info.n_x)).indices(info.n_items))
                while len(candidates) <= negatives:
                    drawn = rng.choice(inside)
                    if drawn != items[place]:
                        candidates.append(drawn)
                padding = length - len(history)
                sequence = [info.padding] * padding + history
                self.samples.append((sequence, [0] * padding + recency(history, info.n_x), user, candidates))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> Sample:
        return self.samples[place]


def recency(history: list[int], n_x: int) -> list[int]:
    """Compute the recency rank of each item within its own domain, 1 for the latest."""
    seen = [0, 0]
    ranks = []
    for item in reversed(history):
        seen[item >= n_x] += 1
        ranks.append(seen[item >= n_x])
    return ranks[::-1]


def tensors(batch: tuple[list[Tensor], list[Tensor], Tensor, list[Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Convert a batch to tensors ``[B, L]`` twice, ``[B]`` and ``[B, 1 + K]``; collation made one tensor per column."""
    sequence, position, user, candidates = batch
    return stack(sequence, dim=1), stack(position, dim=1), user, stack(candidates, dim=1)
