"""The schedule that led to the best epoch, and training for exactly that schedule, without validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lecdsr.core.console import progress_bar, say
from lecdsr.core.schemas import TRAIN
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Recommender
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import TrainingResult, copy_weights
from lecdsr.train.step import Steps
from lecdsr.train.trainer import Trainer
from lecdsr.train.validator import SCORE


def schedule_of(log: Sequence[Mapping[str, float]], shared: SharedSettings) -> list[int]:
    """Return for how many epochs the weights of the best epoch were trained at each learning rate.

    Training goes back to the best epoch whenever the learning rate decays, and drops the epochs after it. Only the
    epochs that the best weights went through count: ``[3, 2]`` is three epochs at the full rate, then two after the
    first decay, however many epochs were tried in between.

    Args:
        log: training log with unrounded scores.
        shared: settings that the training ran with.

    Returns:
        Epochs by number of decays; empty for a model that only counts.
    """
    best, waited, decays = -1.0, 0, 0
    path: list[int] = []  # decays in each epoch that the current weights went through
    best_path: list[int] = []
    for row in log:
        if row["epoch"] == 0:
            continue
        path = [*path, decays]
        if row[SCORE] > best:
            best, best_path, waited = row[SCORE], path, 0
            continue
        waited += 1
        if waited >= (1 if decays else shared.patience) and decays < shared.lr_decays:
            path, decays, waited = best_path, decays + 1, 0
    return [best_path.count(number) for number in range(max(best_path, default=-1) + 1)]


def train_schedule(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    settings: Any,
    shared: SharedSettings,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    context: DistributedContext | None = None,
    before_training: Callable[[Steps], None] | None = None,
    *,
    schedule: Sequence[int],
) -> TrainingResult:
    """Train a model for a given schedule; arguments as for :func:`lecdsr.train.trainer.train`.

    Args:
        model: the model to train, changed in place.
        sequences: windows; those of training are used.
        info: the data set that the model was built for.
        settings: settings of the model.
        shared: settings of all models; ``epochs``, ``patience`` and ``lr_decays`` are not used.
        device: where to compute.
        checkpoints: keeps the state of the training; ``None`` keeps nothing.
        context: the processes that train together; ``None`` is this one alone.
        before_training: called once before the first step; may raise to cancel.
        schedule: epochs by number of decays, as :func:`schedule_of` returns them.

    Raises:
        UserError: there are no training targets, the loss is not finite, or the checkpoint cannot be used.
    """
    model.to(device)
    if model.objective == "counts":
        begin = time.monotonic()
        model.count(sequences.of_split(TRAIN))
        return TrainingResult(copy_weights(model), seconds=time.monotonic() - begin)
    steps = Steps(model, sequences, info, settings, shared, device, context)
    if before_training is not None:
        before_training(steps)
    return ScheduledTrainer(steps, shared, schedule, checkpoints).run()


class ScheduledTrainer(Trainer):
    """Trains for a given schedule and keeps the last weights.

    Args:
        steps: batches and optimisers.
        shared: settings of all models.
        schedule: epochs by number of decays.
        checkpoints: where to save the state; ``None`` saves nothing.
    """

    def __init__(
        self, steps: Steps, shared: SharedSettings, schedule: Sequence[int], checkpoints: Checkpoints | None = None
    ) -> None:
        super().__init__(steps, None, shared, checkpoints)
        self._decays = [decays for decays, epochs in enumerate(schedule) for _ in range(epochs)]

    def run(self) -> TrainingResult:
        """Train all epochs of the schedule, or the rest of them."""
        state, epochs = self.state, len(self._decays)
        self._resume()
        with progress_bar() as self._bar:
            total = epochs * self._steps.per_epoch
            self._task = self._bar.add_task("training", total=total, completed=self._steps_taken, note="")
            while state.epoch <= epochs:
                self._run_epoch()
        self._add_seconds()
        state.weights, state.best_epoch = copy_weights(state.model), epochs
        return state.result()

    def _run_epoch(self) -> None:
        """Train one epoch, or the rest of one that was interrupted."""
        begin, state, steps = time.monotonic(), self.state, self._steps
        state.decays = self._decays[state.epoch - 1]
        steps.model.train()
        for batch in steps.batches(state.epoch, state.step):
            self._run_step(batch)
        losses = self._mean_losses()
        state.log.append({"epoch": state.epoch, **losses})
        if steps.context.is_main:
            seconds = time.monotonic() - begin
            say(f"epoch {state.epoch} of {len(self._decays)}: loss {losses['loss']:.4g}, {seconds:.1f} s")
        state.epoch, state.step, state.loss_sums = state.epoch + 1, 0, None
        self._save_if_due()
