"""Cross-entropy over all items of a catalogue, computed without a matrix of all scores.

The obvious implementation writes the scores of M targets against N items, reads them for the softmax, writes their
gradient and reads it twice: 170 MB each time at the size of Food–Kitchen. Here each block of targets goes through
scores, softmax and both gradient products while it is in the processor's cache.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

#: Scores of a block on a processor: 16 MB in float32, which the cache of a server's processor holds.
_BLOCK = 4_000_000
#: Least targets of a block, however many items: with fewer, both products with the keys read more than they compute.
#: 200,000 items took 2.7 s in blocks of 20 targets and 0.8 s in one block.
_LEAST_ROWS = 256
#: Most scores of a block: 1 GB in float32. On a GPU a block is as large as this, since every block costs a dozen kernel
#: launches and nothing is gained from a cache.
_LARGEST_BLOCK = 1 << 28


def block_rows(n: int, device: torch.device) -> int:
    """Return how many targets go through the softmax over ``n`` items at once on a device."""
    scores = _LARGEST_BLOCK if device.type == "cuda" else min(max(_BLOCK, _LEAST_ROWS * n), _LARGEST_BLOCK)
    return max(1, scores // max(1, n))


def cross_entropy(
    queries: Tensor, keys: Tensor, target: Tensor, bias: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Compute a weighted cross-entropy ``Σ_m w_m [ logsumexp_n(q_m · k_n + b_n) - (q_m · k_target + b_target) ]``.

    Under autocast, products use its type; sums and the softmax use float32.

    Args:
        queries: ``[M, d]``.
        keys: ``[N, d]``.
        target: ``[M]`` rows of ``keys`` that are the targets.
        bias: ``[N]`` item biases; ``None`` means zero.
        weight: ``[M]`` weights of the targets, without a gradient; ``None`` means one.

    Returns:
        Scalar, the sum over targets.
    """
    bias = keys.new_zeros(len(keys)) if bias is None else bias
    weight = queries.new_ones(len(queries)) if weight is None else weight
    return cast(Tensor, _CrossEntropy.apply(queries, keys, bias, target, weight))  # type: ignore[no-untyped-call]


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose gradient is computed together with the value; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, bias: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        device = queries.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else queries.dtype
        with torch.autocast(device, enabled=False):
            total, *gradients = _blocks(queries, keys, bias, target, weight, low)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_queries, of_keys, of_bias = ctx.saved_tensors
        return gradient * of_queries, gradient * of_keys, gradient * of_bias, None, None


def _blocks(
    queries: Tensor, keys: Tensor, bias: Tensor, target: Tensor, weight: Tensor, low: torch.dtype
) -> tuple[Tensor, ...]:
    """Compute the sum, and its gradients with respect to queries, keys and bias."""
    total = bias.new_zeros(())
    of_queries, of_keys, of_bias = torch.empty_like(queries), torch.zeros_like(keys), torch.zeros_like(bias)
    keys_low = keys.to(low)
    size = block_rows(len(keys), keys.device)
    for first in range(0, len(queries), size):
        rows = slice(first, min(first + size, len(queries)))
        block = queries[rows].to(low)  # [m, d]
        scores = (block @ keys_low.T).to(bias.dtype) + bias  # [m, N]
        places = (torch.arange(len(block), device=block.device), target[rows])
        own = scores[places]
        largest = scores.amax(dim=1, keepdim=True)
        share = scores.sub_(largest).exp_()
        sums = share.sum(dim=1, keepdim=True)  # [m, 1]
        each = weight[rows].unsqueeze(1)  # [m, 1]
        total += (each * (sums.log() + largest - own.unsqueeze(1))).sum()
        share *= each / sums
        share[places] -= weight[rows]  # the gradient of the scores
        share_low = share.to(low)
        of_queries[rows] = (share_low @ keys_low).to(queries.dtype)
        of_keys += (share_low.T @ block).to(keys.dtype)
        of_bias += share.sum(dim=0)
    return total, of_queries, of_keys, of_bias
