"""Text vectors as inputs of models: real, absent, or replaced as a control; and their projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.data.batch import distinct

TextMode = Literal["vectors", "none", "random", "shuffled"]


def control(vectors: Tensor | None, mode: TextMode, seed: int) -> Tensor | None:
    """Return the text vectors for a mode: unchanged, none, or a control.

    ``random`` replaces every known (non-zero) row by Gaussian noise of the same length; ``shuffled`` permutes the known
    rows. Unknown rows stay zero in both. If a model does as well with a control as with ``vectors``, it did not benefit
    from the texts.

    Raises:
        ValueError: the mode needs vectors, but there are none.
    """
    if mode == "none":
        return None
    if vectors is None:
        raise ValueError(f"item_text {mode!r} needs text vectors, and the data has none")
    if mode == "vectors":
        return vectors
    generator = torch.Generator().manual_seed(seed)
    known = vectors.norm(dim=1) > 0
    rows = vectors[known]
    replaced = vectors.clone()
    if mode == "random":
        noise = torch.randn(rows.shape, generator=generator, device=rows.device)
        replaced[known] = F.normalize(noise, dim=1) * rows.norm(dim=1, keepdim=True)
    else:
        replaced[known] = rows[torch.randperm(len(rows), generator=generator, device=rows.device)]
    return replaced


class Whitening(NamedTuple):
    """A map of text vectors to principal components of the same variance.

    Args:
        mean: ``[D]``, double precision.
        axes: ``[D, c]`` components in columns, divided by their standard deviation.
    """

    mean: Tensor
    axes: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map ``[N, D]`` to ``[N, c]``; unknown (zero) rows stay zero."""
        known = vectors.norm(dim=1) > 0
        whitened = torch.zeros(len(vectors), self.axes.shape[1], dtype=vectors.dtype)
        whitened[known] = ((vectors[known].double() - self.mean) @ self.axes).to(vectors.dtype)
        return whitened

    def masked(self, vectors: Tensor) -> Tensor:
        """As a call, within rounding, without a selection of rows, whose number a graph for ONNX cannot know."""
        whitened = ((vectors.double() - self.mean) @ self.axes).to(vectors.dtype)
        return torch.where((vectors != 0).any(dim=1, keepdim=True), whitened, 0.0)


def whitening_of(vectors: Tensor, width: int, widths: Sequence[int] = ()) -> Whitening:
    """Find the first principal components of the known (non-zero) rows, each scaled to variance 1.

    Args:
        vectors: ``[N, D]``.
        width: maximum number of components.
        widths: widths of the encoders whose vectors are joined; each part has its own components, up to ``width``.

    Returns:
        A map to c components, the minimum of ``width``, D and the rank of the centred known rows. The sign of a
        component makes its largest weight positive, so that it does not depend on the machine.
    """
    if len(widths) > 1:
        known = vectors[vectors.norm(dim=1) > 0]
        parts = [whitening_of(part, width) for part in torch.split(known, list(widths), dim=1)]
        axes: Tensor = torch.block_diag(*(part.axes for part in parts))  # type: ignore[no-untyped-call]
        return Whitening(torch.cat([part.mean for part in parts]), axes)
    rows = vectors[vectors.norm(dim=1) > 0].double()
    mean = rows.mean(dim=0) if len(rows) else rows.new_zeros(rows.shape[1])
    centred = rows - mean
    variances, axes = torch.linalg.eigh(centred.T @ centred / max(len(rows) - 1, 1))  # ascending; axes in columns
    kept = torch.nonzero(variances > 1e-9 * variances.max().clamp(min=1e-30)).flatten().flip(0)[:width]
    axes = axes[:, kept]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return Whitening(mean, axes * largest.sign() / variances[kept].sqrt())


def whiten(vectors: Tensor, width: int) -> Tensor:
    """Whiten text vectors ``[N, D]`` by themselves, see :func:`whitening_of`; unknown rows stay zero."""
    return whitening_of(vectors, width)(vectors)


def content_queries(texts: Tensor, sequence: Tensor, decay: float) -> Tensor:
    """Compute the texts that a history has in common: Σ decay^(steps back) · text, normalised to length 1.

    Args:
        texts: ``[N+1, D]`` unit vectors, zero without text and for padding.
        sequence: ``[B, L]`` items, latest last, padding on the left.
        decay: weight of an item relative to the next later one.

    Returns:
        ``[B, D]`` vectors of length 1, zero where the history has no text.
    """
    steps = torch.arange(sequence.shape[1] - 1, -1, -1, device=sequence.device)
    return F.normalize(torch.einsum("l,bld->bd", decay**steps, F.embedding(sequence, texts)), dim=1)


def mlp(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    """Build the published projection: linear, layer norm, GELU, linear."""
    return nn.Sequential(
        nn.Linear(width_in, hidden),
        nn.LayerNorm(hidden),
        nn.GELU(),
        nn.Linear(hidden, width_out),
    )


class MixtureOfExperts(nn.Module):
    """Projection by E experts ``W_e (dropout(x) - bias_e)``, mixed by a softmax gate: ``[..., in]`` -> ``[..., out]``.

    In training, Gaussian noise of a learned scale is added to the gate's logits, so that experts with nearly the
    largest logit are tried too.
    """

    def __init__(self, width_in: int, width_out: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(experts, width_in))
        self.weight = nn.Parameter(torch.empty(experts, width_in, width_out))
        self.gate = nn.Linear(width_in, experts, bias=False)
        self.noise = nn.Linear(width_in, experts, bias=False)
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.noise.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Project the last dimension."""
        logits = self.gate(x)  # [..., E]
        if self.training:
            logits = logits + torch.randn_like(logits) * F.softplus(self.noise(x))
        shifted = self.dropout(x).unsqueeze(-2) - self.bias  # [..., E, width_in]
        outputs = torch.einsum("...ei,eio->...eo", shifted, self.weight)  # [..., E, width_out]
        weights = logits.softmax(dim=-1)
        mixed: Tensor = (weights.unsqueeze(-1) * outputs).sum(dim=-2)
        return mixed


def project_distinct(projection: nn.Module, vectors: Tensor, ids: Tensor) -> Tensor:
    """Compute ``projection(vectors[ids])``, with each distinct id projected once: ``ids [...]`` -> ``[..., d]``."""
    found, inverse = distinct(ids)
    return F.embedding(inverse, projection(vectors[found]))
