"""What the models with self-attention share: who may attend to whom, and the attention itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def causal(real: Tensor) -> Tensor:
    """``[B, L]`` true where there is an item -> ``[B, L, L]`` true where a position may attend: to earlier items."""
    length = real.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    return before & real.unsqueeze(1)


def or_itself(allowed: Tensor) -> Tensor:
    """``[B, L, L]`` -> ``[B, 1, L, L]``; each position may attend to itself, lest a softmax be empty."""
    itself = torch.eye(allowed.shape[1], dtype=torch.bool, device=allowed.device)
    return (allowed | itself).unsqueeze(1)


def attend(qkv: Tensor, heads: int, allowed: Tensor) -> Tensor:
    """Attention of queries, keys and values ``[B, L, 3d]`` where ``allowed [B, 1, L, L]`` -> ``[B, L, d]``."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # [B, heads, L, d / heads]
    return attended.transpose(1, 2).reshape(batch, length, width // 3)
