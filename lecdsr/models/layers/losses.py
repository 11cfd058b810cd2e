"""Training losses; docs/model.md has the formulas and their sources.

Each function returns a :class:`~lecdsr.models.base.LossTerm`: a sum and the count to divide it by. Shape legend:
B samples, K negatives per sample, L positions, M targets, N items, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lecdsr.data.batch import true_places
from lecdsr.models.base import LossTerm
from lecdsr.models.layers.sampling import BatchItems
from lecdsr.models.layers.softmax import cross_entropy

Surrogate = Literal["relu", "tanh", "atan"]
Align = Literal["sequence", "batch"]


def hinge(target: Tensor, negatives: Tensor, tau: float, reduction: str) -> LossTerm:
    """Compute the published ranking loss of LeCDSR: ``Σ_b Σ_n relu(1 + (r_n - r_target) / tau)``.

    Args:
        target: ``[B]`` scores of targets.
        negatives: ``[B, K]`` scores of negatives.
        tau: temperature.
        reduction: ``sum`` over samples and negatives as published, or ``mean``.
    """
    terms = F.relu(1 + (negatives - target.unsqueeze(1)) / tau)  # [B, K]
    return LossTerm(terms.sum(), None if reduction == "sum" else terms.numel())


def psl(target: Tensor, negatives: Tensor, tau: float, outer: float, surrogate: Surrogate) -> LossTerm:
    """Compute the pairwise softmax loss (Yang et al., NeurIPS 2024) of scores that are cosines.

    The loss is ``logsumexp_n( log σ(d_n) / outer )`` with ``d_n = (r_n - r_target) / tau``, averaged over samples.
    ``σ(d)`` is ``relu(1 + d)``, ``tanh(d) + 1`` or ``atan(d) + 1``.

    Args:
        target: ``[B]`` cosines of targets.
        negatives: ``[B, K]`` cosines of negatives.
        tau: temperature of the score differences; 2 in the paper.
        outer: temperature ``tau*`` of the sum; 1 in the paper.
        surrogate: name of the function σ.
    """
    d = (negatives - target.unsqueeze(1)) / tau  # [B, K]
    activated = {"relu": lambda: F.relu(1 + d), "tanh": lambda: d.tanh() + 1, "atan": lambda: d.atan() + 1}[surrogate]()
    # σ can be 0, and with atan negative: such a negative is ranked low enough and gets no gradient.
    logs = activated.clamp(min=torch.finfo(d.dtype).tiny).log() / outer
    return LossTerm(torch.logsumexp(logs, dim=1).sum(), len(target))


def sampled_softmax(target: Tensor, negatives: Tensor, tau: float) -> LossTerm:
    """Compute the cross-entropy of the target among itself and its negatives, averaged over samples.

    Args:
        target: ``[B]`` scores of targets.
        negatives: ``[B, K]`` scores of negatives.
        tau: temperature by which scores are divided.
    """
    logits = torch.cat([target.unsqueeze(1), negatives], dim=1) / tau  # [B, 1 + K]
    return LossTerm((torch.logsumexp(logits, dim=1) - logits[:, 0]).sum(), len(target))


def binary_cross_entropy(target: Tensor, negatives: Tensor) -> LossTerm:
    """Compute the binary cross-entropy of targets and negatives, averaged over samples; K = 1 is SASRec's loss.

    Args:
        target: ``[B]`` scores of targets.
        negatives: ``[B, K]`` scores of negatives.
    """
    return LossTerm((F.softplus(-target) + F.softplus(negatives).mean(dim=1)).sum(), len(target))


def softmax_by_domain(
    queries: Tensor,
    keys: Tensor,
    bias: Tensor | None,
    target: Tensor,
    n_x: int,
    in_domain: tuple[int, int] | None = None,
) -> LossTerm:
    """Cross-entropy of each target against all items of its own domain, mean over targets.

    Args:
        queries: ``[M, d]``.
        keys: ``[N, d]`` keys of all items, domain X first.
        bias: ``[N]`` item biases; ``None`` means zero.
        target: ``[M]`` item ids.
        n_x: items of domain X.
        in_domain: targets of X and of Y, if their numbers are known.
    """
    total = queries.new_zeros(())
    for domain, (items, offset) in enumerate(((slice(0, n_x), 0), (slice(n_x, None), n_x))):
        inside = true_places((target < n_x) if offset == 0 else (target >= n_x), in_domain and in_domain[domain])
        part = None if bias is None else bias[items]
        total = total + cross_entropy(queries[inside], keys[items], target[inside] - offset, part)
    return LossTerm(total, len(target))


def sampled_softmax_by_domain(queries: Sequence[Tensor], keys: Sequence[Tensor], sample: BatchItems) -> LossTerm:
    """Cross-entropy of each target against the items drawn of its domain, corrected for how they were drawn.

    ``-s_t + log( exp(s_t) + Σ_{j in sample, j ≠ t} exp(s_j) / π_j )``, with π_j the probability that item j is in the
    sample, so that the sum estimates that over all items without bias. Sampled softmax after Bengio & Senécal (2008);
    the target is not corrected, because it is always in the sample (Baikalov et al., RecSys 2025, arXiv 2507.09331).

    Args:
        queries: ``[M, d]`` of the targets of X, and of those of Y.
        keys: ``[S, d]`` of the items drawn of X, and of those of Y.
        sample: the items drawn.
    """
    total, count = queries[0].new_zeros(()), 0
    for query, key, drawn in zip(queries, keys, sample.domains, strict=True):
        scores = (query @ key.T).float()  # [M, S]
        own = scores.gather(1, drawn.own.unsqueeze(1))  # [M, 1]
        corrected = (scores + drawn.correction).scatter(1, drawn.own.unsqueeze(1), own)
        total = total + (torch.logsumexp(corrected, dim=1) - own.squeeze(1)).sum()
        count += len(drawn.targets)
    return LossTerm(total, count)


def align(e: Tensor, t: Tensor, tau: float, mask: Tensor | None, over: Align) -> LossTerm:
    """Compute the alignment loss of ids and texts, after LLM4CDSR (Liu et al., SIGIR 2025).

    It is the soft cross-entropy of ``A = e tᵀ / tau`` and of its transpose against
    ``Q = softmax((t tᵀ + e eᵀ) / (2 tau))``, with gradient through ``Q``, averaged over positions. The published code
    adds the losses of ``(e, t)`` and ``(t, e)``, which are equal; so does this function.

    Args:
        e: ``[B, L, d]`` id embeddings.
        t: ``[B, L, d]`` projected texts.
        tau: temperature.
        mask: ``[B, L]``, true where a position counts; ``None`` counts all.
        over: ``sequence`` compares the positions of one sequence, as published; ``batch`` compares the latest counted
          position of every sequence with those of the others.
    """
    if mask is None:
        mask = torch.ones(e.shape[:2], dtype=torch.bool, device=e.device)
    if over == "batch":
        # Left-padded: the latest position is the last, and is counted unless the history is empty.
        e, t, mask = (x[:, -1].unsqueeze(0) for x in (e, t, mask))  # [1, B, …]
    logits = e @ t.transpose(1, 2) / tau  # [B, L, L]
    similarity = (t @ t.transpose(1, 2) + e @ e.transpose(1, 2)) / (2 * tau)  # [B, L, L]
    lowest = torch.finfo(e.dtype).min
    hidden = torch.zeros_like(mask, dtype=e.dtype).masked_fill(~mask, lowest).unsqueeze(1)  # [B, 1, L] over columns
    targets = (similarity + hidden).softmax(dim=-1)
    total = logits.new_zeros(())
    for direction in (logits, logits.transpose(1, 2)):
        # Set masked columns to zero: their logarithms are near the largest float, and so would be their gradients.
        log = (direction + hidden).log_softmax(dim=-1).masked_fill(~mask.unsqueeze(1), 0)
        cross_entropy = -(targets * log).sum(dim=-1)  # [B, L]
        total = total + (cross_entropy * mask).sum()
    return LossTerm(total, mask.sum())  # ½ of each direction, added twice
