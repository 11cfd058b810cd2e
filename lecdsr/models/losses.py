"""Losses; the formulas and their sources are in docs/model.md."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def hinge(target: Tensor, negatives: Tensor, tau: float, reduction: str) -> Tensor:
    """Published ranking loss of LeCDSR: ``Σ_b Σ_n relu(1 + (r_n - r_target) / tau)``.

    Args:
        target: ``[B]`` scores of targets.
        negatives: ``[B, K]`` scores of negatives.
        tau: temperature.
        reduction: ``sum`` over samples and negatives as published, or ``mean``.
    """
    terms = F.relu(1 + (negatives - target.unsqueeze(1)) / tau)  # [B, K]
    return terms.sum() if reduction == "sum" else terms.mean()


def alignment(e: Tensor, t: Tensor, tau: float, mask: Tensor | None = None) -> Tensor:
    """Alignment of ids and texts within one sequence, after LLM4CDSR (Liu et al., SIGIR 2025).

    Soft cross-entropy of ``A = e tᵀ / tau`` and its transpose against
    ``Q = softmax((t tᵀ + e eᵀ) / (2 tau))``, with gradient through ``Q``; averaged over positions
    and batch. The published code adds the loss of ``(e, t)`` and that of ``(t, e)``, which are
    equal; so does this.

    Args:
        e: ``[B, L, d]`` id embeddings.
        t: ``[B, L, d]`` projected texts.
        tau: temperature.
        mask: ``[B, L]`` true where a position counts; ``None`` counts all.
    """
    logits = e @ t.transpose(1, 2) / tau  # [B, L, L]
    similarity = (t @ t.transpose(1, 2) + e @ e.transpose(1, 2)) / (2 * tau)  # [B, L, L]
    if mask is None:
        mask = torch.ones(e.shape[:2], dtype=torch.bool, device=e.device)
    hidden = torch.where(mask, 0.0, torch.finfo(e.dtype).min).unsqueeze(1)  # [B, 1, L] over columns
    targets = (similarity + hidden).softmax(dim=-1)
    count = mask.sum().clamp(min=1)
    total = logits.new_zeros(())
    for direction in (logits, logits.transpose(1, 2)):
        # Zeros over hidden columns: their true logarithms are near the largest float, and so would be gradients.
        log = (direction + hidden).log_softmax(dim=-1).masked_fill(~mask.unsqueeze(1), 0)
        cross_entropy = -(targets * log).sum(dim=-1)  # [B, L]
        total = total + (cross_entropy * mask).sum() / count
    return total  # ½ of each direction, added twice


def softmax_by_domain(queries: Tensor, keys: Tensor, bias: Tensor, target: Tensor, n_x: int) -> Tensor:
    """Cross-entropy of each target against all items of its own domain, mean over targets.

    Args:
        queries: ``[M, d]``.
        keys: ``[N, d]`` of all items, X first.
        bias: ``[N]``.
        target: ``[M]`` item ids.
        n_x: items of domain X.
    """
    total = queries.new_zeros(())
    for items, offset in ((slice(0, n_x), 0), (slice(n_x, None), n_x)):
        inside = (target < n_x) if offset == 0 else (target >= n_x)
        logits = queries[inside] @ keys[items].T + bias[items]  # [M_domain, N_domain]
        total = total + F.cross_entropy(logits, target[inside] - offset, reduction="sum")
    return total / max(len(target), 1)
