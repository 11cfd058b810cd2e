"""Plain evaluation: a thousand candidates per user from a default DataLoader, ranked by sorting."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.plain.lecdsr import Network
from benchmarks.plain.lists import Lists, tensors


def ranks_of(network: Network, samples: Lists, batch_size: int) -> Tensor:
    """Rank each target among its candidates, ``[T]``, 1 is best; gradients are kept, as published."""
    network.eval()
    ranks = []
    for batch in DataLoader(samples, batch_size=batch_size):
        scores = network(*tensors(batch))  # [B, 1 + K]
        order = torch.argsort(scores, dim=1, descending=True)
        ranks.append((order == 0).nonzero()[:, 1] + 1)
    return torch.cat(ranks)
