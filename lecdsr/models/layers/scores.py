"""Scores of a few candidates per query, computed without copying the candidates' vectors.

The obvious implementation gathers the vectors of all candidates, ``[B, K, d]``. At the published sizes it writes and
reads 210 MB, and as much again for the gradient. Here the scores are a matrix product that is sampled at the
candidates only, and so are the gradients.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

# PyTorch marks these formats as beta; the tests compare their results with the obvious implementation.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


def candidate_scores(queries: Tensor, table: Tensor, candidates: Tensor) -> Tensor:
    """Score candidates: ``scores[b, k] = queries[b] · table[candidates[b, k]]``.

    Args:
        queries: ``[B, d]``.
        table: ``[N, d]``.
        candidates: ``[B, K]`` rows of ``table``; a row may repeat.

    Returns:
        ``[B, K]``.
    """
    # A sparse matrix has at most one entry per position, and on a GPU gathering the vectors is as fast.
    if queries.device.type != "cpu" or not len(queries) or candidates.shape[1] > len(table):
        return (F.embedding(candidates, table) @ queries.unsqueeze(-1)).squeeze(-1)
    return cast(Tensor, _CandidateScores.apply(queries, table, candidates))  # type: ignore[no-untyped-call]


class _CandidateScores(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, queries: Tensor, table: Tensor, candidates: Tensor) -> Tensor:
        ctx.save_for_backward(queries, table, candidates)
        places = _rows(candidates.flatten(), candidates.shape[1], queries.new_zeros(candidates.numel()), len(table))
        scores: Tensor = torch.sparse.sampled_addmm(places, queries, table.T, beta=0.0).values()
        return scores.view(candidates.shape)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        queries, table, candidates = ctx.saved_tensors
        of_queries = of_table = None
        if ctx.needs_input_grad[0]:
            of_queries = F.embedding_bag(candidates, table, per_sample_weights=gradient.contiguous(), mode="sum")
        if ctx.needs_input_grad[1]:
            of_table = _transposed(candidates, gradient, len(table)) @ queries  # [N, B] @ [B, d]
        return of_queries, of_table, None


def _rows(columns: Tensor, per_row: int, values: Tensor, width: int) -> Tensor:
    """Build a sparse matrix ``[B, width]`` with ``per_row`` entries in every row."""
    starts = torch.arange(0, len(columns) + 1, per_row)
    size = (len(starts) - 1, width)
    return torch.sparse_csr_tensor(starts, columns, values, size=size, check_invariants=False)


def _transposed(candidates: Tensor, values: Tensor, height: int) -> Tensor:
    """Build a sparse matrix ``[height, B]`` with ``values[b, k]`` in row ``candidates[b, k]`` and column b."""
    item, order = candidates.flatten().sort(stable=True)
    starts = torch.searchsorted(item, torch.arange(height + 1))
    row = order // candidates.shape[1]
    size = (height, len(candidates))
    return torch.sparse_csr_tensor(starts, row, values.flatten()[order], size=size, check_invariants=False)
