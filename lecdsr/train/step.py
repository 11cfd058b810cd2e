"""Training steps: the batches of an epoch in seeded random order, and one optimiser step per batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, PrefixBatch, SampleCounts, SequenceBatch, to_device
from lecdsr.data.batch import prefix_samples as one_per_target
from lecdsr.data.batch import sequence_samples as one_per_window
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Recommender
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.optimiser import Optimisers
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import is_sharded

Batch = PrefixBatch | SequenceBatch


class Steps:
    """Batches of a training, and the optimiser step taken for each of them.

    Every process shuffles the same samples in the same order and takes its share of each batch; the batch size is
    ``settings.batch_size`` times the number of processes.

    Args:
        model: the model to train, on ``device``.
        sequences: windows of all splits; those of training are used.
        info: the dataset that the model was built for.
        settings: settings of the model.
        shared: settings of all models.
        device: where to compute.
        context: the processes that train together; ``None`` means only this one.

    Raises:
        UserError: there are no training samples, or ``shared.tables`` does not suit the model or the devices.
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
        if settings.trained_after is not None:
            training = training.with_targets_after(settings.trained_after)
        self.by_window = model.objective == "sequence"
        samples = one_per_window(training, length) if self.by_window else one_per_target(training)
        if not len(samples):
            raise UserError(
                "there are no training targets",
                where="sequences",
                do="lower sequences.min_history or the minimum counts of the filters",
                code="no-targets",
            )
        self.context, self.device, self.seed = context or DistributedContext(), device, shared.seed
        if shared.tables == "rows" and device.type == "cuda" and self.context.size > 1:
            raise UserError(
                "NCCL does not add up the sparse gradients of tables that are updated by rows",
                where="train.shared.tables",
                do="set it to dense, or train on one GPU",
            )
        self.samples = samples.to(device)
        self.counts = SampleCounts(samples, sequences.items, info.n_x, length)
        self.gatherer = Gatherer(sequences, length, info.n_x, info.padding, device)
        self.batch_size: int = settings.batch_size * self.context.size
        self.settings = settings
        self.draws = Draws(shared.seed, device, self.context.concatenate)
        self.optimisers = Optimisers(model, settings, shared, self.per_epoch)
        self.model, self.bfloat16 = model, shared.precision == "bfloat16"
        self.objective = _objective(model, self.context, device)
        #: Names in the log of the values that :meth:`step` returns; known after the first step.
        self.loss_names: list[str] = []

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return -(-len(self.samples) // self.batch_size)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this process's share of each batch of an epoch, starting with step ``first_step``."""
        host_order = np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))
        order = to_device(torch.from_numpy(host_order), self.device)
        for first in range(first_step * self.batch_size, len(order), self.batch_size):
            chosen = slice(first, min(first + self.batch_size, len(order)))
            rows = self.context.share(chosen.stop - first)
            self.draws.share(rows, chosen.stop - first)
            samples, counts = self.samples.take(order[chosen][rows]), self.counts.of(host_order[chosen][rows])
            gather = self.gatherer.sequences if self.by_window else self.gatherer.prefixes
            yield gather(samples, counts)

    def step(self, batch: Batch, steps_taken: int, rate_factor: float = 1.0) -> Tensor:
        """Take one optimiser step.

        Args:
            batch: this process's share of a batch.
            steps_taken: steps since training began, without this one; they decide the warm-up.
            rate_factor: factor of the learning rate, below 1 after a learning-rate decay.

        Returns:
            ``[1 + T]`` the loss and its T terms over the whole batch of all processes, as named by ``loss_names``.
        """
        self.optimisers.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            totals, counts, names = self.objective(batch, self.draws)
        self.loss_names = ["loss", *(f"loss_{name}" for name in names)]
        # DistributedDataParallel averages gradients over processes, but a mean over the whole batch needs their sum.
        # A count can be zero: a batch whose histories are all empty has no positions to align.
        terms = totals / self.context.sum(counts).clamp(min=1)
        (terms.sum() * self.context.size).backward()
        self.optimisers.step(steps_taken, rate_factor)
        values = self.context.sum(terms.detach())
        return torch.cat([values.sum().unsqueeze(0), values])


class Objective(nn.Module):
    """Module whose ``forward`` computes a model's loss, as DistributedDataParallel requires."""

    def __init__(self, model: Recommender, context: DistributedContext) -> None:
        super().__init__()
        self.model, self.context = model, context

    def forward(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor, list[str]]:
        """Compute the weighted sums of the T loss terms ``[T]``, the divisor of each ``[T]``, and their names."""
        terms = self.model.compute_loss(batch, draws)
        totals = torch.stack([term.weight * term.total for term in terms.values()])
        # A term without a count is a sum, divided by 1; each process contributes its share of that 1.
        counts = [1 / self.context.size if term.count is None else term.count for term in terms.values()]
        return totals.float(), torch.stack([_scalar(count, totals) for count in counts]), list(terms)


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """A number on the device of ``like``, without a copy from the host, for which it would wait."""
    if isinstance(value, Tensor):
        return value.float()
    return torch.full((), value, device=like.device, dtype=torch.float32)


def _objective(model: Recommender, context: DistributedContext, device: torch.device) -> nn.Module:
    objective: nn.Module = Objective(model, context)
    if context.size > 1:
        devices = [device] if device.type == "cuda" else None
        sharded = [name for name, weight in objective.named_parameters() if is_sharded(weight)]
        if sharded:  # rows that only one process has; their lookups exchange the gradients
            ignore = nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
            ignore(objective, sharded)  # type: ignore[no-untyped-call]
        # Buffers are frozen text vectors, the same in all processes: sending them took half of a step.
        objective = nn.parallel.DistributedDataParallel(objective, device_ids=devices, broadcast_buffers=False)
    return objective
