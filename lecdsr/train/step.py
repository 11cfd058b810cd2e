"""The steps of an epoch: samples in a new seeded order, batches on the device, one step of the optimiser each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, PrefixBatch, SequenceBatch, to_device
from lecdsr.data.batch import prefix_samples as one_per_target
from lecdsr.data.batch import sequence_samples as one_per_window
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Recommender
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.optimiser import Optimisers
from lecdsr.train.settings import SharedSettings

Batch = PrefixBatch | SequenceBatch


class Steps:
    """The optimiser's side of training.

    Every process of the world goes through the same order of the same samples and takes its share of each
    batch, whose size grows with the world.

    Raises:
        UserError: there are no samples, or the tables cannot be updated by rows.
    """

    def __init__(
        self,
        model: Recommender,
        sequences: Sequences,
        info: DatasetInfo,
        settings: Any,
        shared: SharedSettings,
        device: torch.device,
        context: DistributedContext | None = None,
    ) -> None:
        training, length = sequences.of_split(TRAIN), settings.history_length
        self.by_window = model.objective == "sequence"
        samples = one_per_window(training, length) if self.by_window else one_per_target(training)
        if not len(samples):
            raise UserError("no training targets", where="sequences", do="loosen the filters or min_history")
        self.context, self.device, self.seed = context or DistributedContext(), device, shared.seed
        self.samples = samples.to(device)
        self.gatherer = Gatherer(sequences, length, info.n_x, info.padding, device)
        self.batch_size: int = settings.batch_size * self.context.size
        self.draws = Draws(shared.seed, device)
        self.optimisers = Optimisers(model, settings, shared)
        self.model, self.bfloat16 = model, shared.precision == "bfloat16"
        self.objective = _objective(model, self.context, device)
        self.names: list[str] = []

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.samples) // self.batch_size)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``first_step`` on, this process's share of each."""
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(len(self.samples)))
        order = to_device(order, self.device)
        for first in range(first_step * self.batch_size, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            rows = self.context.share(len(chosen))
            self.draws.share(rows, len(chosen))
            samples = self.samples.take(chosen[rows])
            yield self.gatherer.sequences(samples) if self.by_window else self.gatherer.prefixes(samples)

    def step(self, batch: Batch, number: int) -> Tensor:
        """One step of the optimiser; ``number`` counts from the beginning of the training.

        Returns:
            The loss and its parts, in the order of ``names``, over the whole batch of all processes.
        """
        self.optimisers.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            totals, counts, self.names = self.objective(batch, self.draws)
        # Gradients are averaged over processes; what is a mean over the whole batch has to be their sum.
        # A batch may hold nothing that a part is a mean over, as histories of no item have nothing to align.
        parts = totals / self.context.sum(counts).clamp(min=1)
        (parts.sum() * self.context.size).backward()
        self.optimisers.step(number)
        values = self.context.sum(parts.detach())
        return torch.cat([values.sum().unsqueeze(0), values])


class Objective(nn.Module):
    """A model's loss as the ``forward`` that wrappers of PyTorch ask for."""

    def __init__(self, model: Recommender, context: DistributedContext) -> None:
        super().__init__()
        self.model, self.context = model, context

    def forward(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor, list[str]]:
        """Weighted sums ``[T]`` of the parts of the loss, what each is divided by ``[T]``, and their names."""
        terms = self.model.compute_loss(batch, draws)
        totals = torch.stack([term.weight * term.total for term in terms.values()])
        # A sum is divided by one: every process brings its share of that one.
        counts = [1 / self.context.size if term.count is None else term.count for term in terms.values()]
        return totals.float(), torch.tensor(counts, device=totals.device, dtype=torch.float32), list(terms)


def _objective(model: Recommender, context: DistributedContext, device: torch.device) -> nn.Module:
    objective: nn.Module = Objective(model, context)
    if context.size > 1:
        devices = [device] if device.type == "cuda" else None
        objective = nn.parallel.DistributedDataParallel(objective, device_ids=devices)
    return objective
