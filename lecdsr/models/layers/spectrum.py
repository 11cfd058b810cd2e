"""Real Fourier transform of short sequences, computed as matrix products.

A history has about 15 positions and hundreds of components. The transform along its positions is then a product with
a 16 × 15 matrix, which on a CPU is several times as fast as ``torch.fft``, because that first copies the positions of
every component together (``benchmarks/training.py``).

Shape legend: B batch, L positions, F = L // 2 + 1 frequencies, d width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Spectrum(NamedTuple):
    """Complex numbers as real and imaginary parts, each ``[B, F, d]`` or broadcastable to it."""

    real: Tensor
    imaginary: Tensor

    def times(self, other: Spectrum) -> Spectrum:
        """Multiply complex numbers element by element."""
        real = torch.addcmul(self.real * other.real, self.imaginary, other.imaginary, value=-1)
        imaginary = torch.addcmul(self.real * other.imaginary, self.imaginary, other.real)
        return Spectrum(real, imaginary)


def rfft(x: Tensor) -> Spectrum:
    """Compute ``torch.fft.rfft(x, dim=1, norm="ortho")``, ``[B, L, d]`` -> ``[B, F, d]``."""
    length = x.shape[1]
    both = _angles(length, x).T  # [F, L]
    matrix = torch.cat([both.cos(), -both.sin()]) / math.sqrt(length)  # [2F, L]
    real, imaginary = (matrix @ x).chunk(2, dim=1)
    return Spectrum(real, imaginary)


def irfft(spectrum: Spectrum, length: int) -> Tensor:
    """Compute ``torch.fft.irfft(…, n=length, dim=1, norm="ortho")``, ``[B, F, d]`` -> ``[B, L, d]``."""
    angles = _angles(length, spectrum.real)  # [L, F]
    twice = torch.full((angles.shape[1],), 2.0, dtype=angles.dtype, device=angles.device)
    twice[:1].fill_(
        1
    )  # all frequencies stand for their mirror image too, but for the first and, if L is even, the last
    if length % 2 == 0:
        twice[-1:].fill_(1)
    matrix = torch.cat([angles.cos() * twice, -angles.sin() * twice], dim=1) / math.sqrt(length)  # [L, 2F]
    return matrix @ torch.cat([spectrum.real, spectrum.imaginary], dim=1)


def _angles(length: int, like: Tensor) -> Tensor:
    """Compute the angles 2π l f / L, ``[L, F]``; the products l f are taken modulo L while they are integers."""
    place = torch.arange(length, device=like.device)
    turns = place.unsqueeze(1) * place[: length // 2 + 1] % length
    return (turns.double() * (2 * math.pi / length)).to(like.dtype)
