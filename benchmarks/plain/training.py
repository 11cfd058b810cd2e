"""Plain training loop: lists from a default DataLoader, default AdamW."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.plain.lecdsr import Network, hinge
from benchmarks.plain.lists import Lists, tensors
from lecdsr.models.lecdsr import Settings


def loss_of(network: Network, batch: tuple[Tensor, Tensor, Tensor, Tensor], settings: Settings) -> Tensor:
    """Compute the ranking loss plus the weighted alignment loss."""
    sequence, position, user, candidates = batch
    ranking = hinge(network(sequence, position, user, candidates), settings.tau)
    return ranking + settings.alignment * network.alignment(sequence, settings.tau2)


def train(network: Network, samples: Lists, settings: Settings) -> Iterator[float]:
    """Train one epoch, and yield the seconds of each step, including the loading of its batch."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    network.train()
    total, begin = 0.0, time.perf_counter()
    for batch in DataLoader(samples, batch_size=settings.batch_size, shuffle=True):
        optimiser.zero_grad()
        loss = loss_of(network, tensors(batch), settings)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item()
        yield time.perf_counter() - begin
        begin = time.perf_counter()
