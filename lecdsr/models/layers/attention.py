"""Parts shared by models with self-attention: attention masks, packing without padding, and a transformer layer."""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from lecdsr.data.batch import true_places


def causal(real: Tensor) -> Tensor:
    """Make a causal mask ``[B, L, L]`` from ``real [B, L]``: a position may attend to the items up to itself."""
    length = real.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    return before & real.unsqueeze(1)


def or_itself(allowed: Tensor) -> Tensor:
    """Let each position attend to itself, so that no softmax row is fully masked: ``[B, L, L]`` -> ``[B, 1, L, L]``."""
    itself = torch.eye(allowed.shape[1], dtype=torch.bool, device=allowed.device)
    return (allowed | itself).unsqueeze(1)


def attend(qkv: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """Compute attention from queries, keys and values ``[B, L, 3d]`` -> ``[B, L, d]``.

    ``allowed [B, 1, L, L]`` says which position attends to which, or is added to the logits if it holds numbers.
    """
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    if qkv.device.type == "cpu":
        # In bfloat16 the backward pass takes three times as long as in float32.
        q, k, v = q.float(), k.float(), v.float()
    if allowed.is_floating_point():
        allowed = allowed.to(q.dtype)
    # The fused kernels of a GPU add the parts of a gradient in any order, so that no two trainings are equal.
    kernel = sdpa_kernel(SDPBackend.MATH) if qkv.device.type == "cuda" else nullcontext()
    with torch.autocast(qkv.device.type, enabled=False), kernel:
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # [B, heads, L, d / heads]
    return attended.transpose(1, 2).reshape(batch, length, width // 3)


class Packing:
    """Conversion of a batch of histories to its items without padding, which is more than half of it on Food–Kitchen.

    Args:
        real: ``[B, L]`` true where there is an item; T of them.
        items: T, if it is known.
    """

    def __init__(self, real: Tensor, items: int | None = None) -> None:
        self.real, self.shape = real, real.shape
        self.places = true_places(real, items)  # [T]

    def pack(self, x: Tensor) -> Tensor:
        """Remove padding: ``[B, L, …]`` -> ``[T, …]``."""
        return x.flatten(0, 1)[self.places]

    def positions(self, table: Tensor) -> Tensor:
        """Select each item's position vector ``[T, d]`` from ``table``, whose last row belongs to the latest item."""
        batch, length = self.shape
        return self.pack(table[-length:].expand(batch, -1, -1))

    def unpack(self, x: Tensor) -> Tensor:
        """Restore padding as zeros: ``[T, …]`` -> ``[B, L, …]``."""
        batch, length = self.shape
        whole = x.new_zeros(batch * length, *x.shape[1:])
        return whole.index_copy(0, self.places, x).view(*self.shape, *x.shape[1:])


class Layer(nn.Module):
    """Transformer layer with pre-norm attention and feed-forward network on packed items, ``[T, d]`` -> ``[T, d]``."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing, allowed: Tensor) -> Tensor:
        """Apply the layer; positions attend where ``allowed [B, 1, L, L]`` is true."""
        qkv = packing.unpack(self.qkv(self.attention_norm(x)))  # [B, L, 3d]
        attended = packing.pack(attend(qkv, self.heads, allowed))  # [T, d]
        x = x + self.dropout(self.output(attended))
        return cast(Tensor, x + self.dropout(self.feed_forward(x)))


def encode(x: Tensor, packing: Packing, layers: nn.ModuleList, norm: nn.Module) -> Tensor:
    """Encode packed inputs ``[T, d]`` to causal states ``[B, L, d]``, which are zero for padding."""
    allowed = or_itself(causal(packing.real))  # [B, 1, L, L]
    for layer in layers:
        x = layer(x, packing, allowed)
    return packing.unpack(norm(x))
