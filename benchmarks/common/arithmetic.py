"""Count the arithmetic that the published network cannot avoid, and measure what this machine can do.

Only matrix products are counted, in floating-point operations, two per multiply-add. Fourier transforms, gates, norms,
softmaxes and the optimiser are not counted, so 100 % cannot be reached.

A batch of B samples has I distinct items and U distinct users in its histories, M positions that are not padding, and
S = Σ of the squared history lengths. D is the width of a text vector, H the hidden width of the projections, d the
width of the network, L the history length, C the number of candidates per sample.

| part | shapes | forward | backward |
| --- | --- | --- | --- |
| projections, first layer | [I + U, D] · [D, H] | 2 (I+U) D H | once that: vectors are frozen |
| projections, second layer | [I + U, H] · [H, d] | 2 (I+U) H d | twice that |
| feature gate, W_i | [M, d] · [d, d] | 2 M d² | twice that |
| feature gate, W_u | [U, d] · [d, d] | 2 U d² | twice that |
| linear_a, linear_b, w_i | [M, d] · [d, 1], three of them | 6 M d | twice that |
| instance gate, W_s | [U, d] · [d, L] | 2 U d L | twice that |
| instance gate, w_p | [L + 1, d] · [d, 1] | 2 (L+1) d | twice that |
| scores | [1, d] · [d, C], B of them | 2 B C d | twice that |
| alignment: e tᵀ, t tᵀ, e eᵀ | [l, d] · [d, l], a history of l items | 6 S d | 8 S d: two, one and one products |

If padding is not masked, it counts: M = B L, S = B L², and padding is one more item.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

SQUARE = 2048
REPEATS = 4


class Counts(NamedTuple):
    """Counts B, I, U, M and S of some samples."""

    samples: int
    items: int
    users: int
    positions: int
    squares: int


def count(sequence: Tensor, user: Tensor, padding: int, masked: bool) -> Counts:
    """Count over histories ``[B, L]`` and their users ``[B]``."""
    real = sequence != padding if masked else torch.ones_like(sequence, dtype=torch.bool)
    length = real.sum(dim=1)
    items, users = torch.unique(sequence[real]), torch.unique(user)
    return Counts(len(user), len(items), len(users), int(length.sum()), int((length**2).sum()))


def training_flop(counts: Counts, wide: int, hidden: int, d: int, length: int, candidates: int) -> float:
    """Count the operations of forward and backward pass of one step over these samples."""
    rows = counts.items + counts.users
    projection = 2 * rows * (2 * wide * hidden + 3 * hidden * d)
    return projection + 3 * _gates(counts, d, length) + 6 * counts.samples * candidates * d + 14 * counts.squares * d


def evaluation_flop(counts: Counts, wide: int, hidden: int, d: int, length: int, candidates: float) -> float:
    """Count the operations of one forward pass over all samples; ``candidates`` is the mean per sample."""
    projection = 2 * (counts.items + counts.users) * (wide * hidden + hidden * d)
    return projection + _gates(counts, d, length) + 2 * counts.samples * candidates * d


def _gates(counts: Counts, d: int, length: int) -> int:
    """Count the operations of the gates in a forward pass."""
    positions = 2 * counts.positions * d * d + 6 * counts.positions * d
    users = 2 * counts.users * d * d + 2 * counts.users * d * length
    return positions + users + 2 * (length + 1) * d


def matrix_rates(threads: int, rows: int, wide: int, hidden: int) -> Iterator[float]:
    """Measure the best float32 GFLOP/s of square products and of ``[rows, wide] · [wide, hidden]`` (first projection).

    Every value is measured when it is requested.
    """
    torch.set_num_threads(threads)
    shapes = ((SQUARE, SQUARE, SQUARE), (rows, wide, hidden))
    products = [(torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)) for m, k, n in shapes]
    while True:
        best = 0.0
        for a, b, out in products:
            for _ in range(REPEATS):
                begin = time.perf_counter()
                torch.mm(a, b, out=out)
                best = max(best, 2 * a.numel() * b.shape[1] / (time.perf_counter() - begin) / 1e9)
        yield best
