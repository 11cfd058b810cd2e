"""What the models with self-attention share: who may attend to whom, the attention itself, a layer of it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.data.batch import true_places


def causal(real: Tensor) -> Tensor:
    """``[B, L]`` true where there is an item -> ``[B, L, L]`` true where a position may attend: to earlier items."""
    length = real.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    return before & real.unsqueeze(1)


def or_itself(allowed: Tensor) -> Tensor:
    """``[B, L, L]`` -> ``[B, 1, L, L]``; each position may attend to itself, so that no softmax row is fully masked."""
    itself = torch.eye(allowed.shape[1], dtype=torch.bool, device=allowed.device)
    return (allowed | itself).unsqueeze(1)


def attend(qkv: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """Attention of queries, keys and values ``[B, L, 3d]`` where ``allowed [B, 1, L, L]`` -> ``[B, L, d]``."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # [B, heads, L, d / heads]
    return attended.transpose(1, 2).reshape(batch, length, width // 3)


class Packing:
    """The items of a batch of histories without its padding, more than half of it on Food–Kitchen.

    Args:
        real: ``[B, L]`` true where there is an item; T of them.
        items: T, if it is known.
    """

    def __init__(self, real: Tensor, items: int | None = None) -> None:
        self.real, self.shape = real, real.shape
        self.places = true_places(real, items)  # [T]

    def pack(self, x: Tensor) -> Tensor:
        """``[B, L, …]`` -> ``[T, …]``."""
        return x.flatten(0, 1)[self.places]

    def positions(self, table: Tensor) -> Tensor:
        """``[T, d]`` vectors of places from ``table``, whose last row is that of the latest item."""
        batch, length = self.shape
        return self.pack(table[-length:].expand(batch, -1, -1))

    def unpack(self, x: Tensor) -> Tensor:
        """``[T, …]`` -> ``[B, L, …]``, zero where padding is."""
        whole = x.new_zeros(self.shape.numel(), *x.shape[1:])
        return whole.index_copy(0, self.places, x).view(*self.shape, *x.shape[1:])


class Layer(nn.Module):
    """Pre-norm attention and feed-forward layer on packed items, ``[T, d]`` -> ``[T, d]``."""

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
        """Attend where ``allowed [B, 1, L, L]`` is true."""
        qkv = packing.unpack(self.qkv(self.attention_norm(x)))  # [B, L, 3d]
        attended = packing.pack(attend(qkv, self.heads, allowed))  # [T, d]
        x = x + self.dropout(self.output(attended))
        return cast(Tensor, x + self.dropout(self.feed_forward(x)))


def encode(x: Tensor, packing: Packing, layers: nn.ModuleList, norm: nn.Module) -> Tensor:
    """Packed inputs ``[T, d]`` -> ``[B, L, d]`` states, each of its own and earlier items; zero for padding."""
    allowed = or_itself(causal(packing.real))  # [B, 1, L, L]
    for layer in layers:
        x = layer(x, packing, allowed)
    return packing.unpack(norm(x))
