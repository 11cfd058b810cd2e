"""The training loop: epochs, validation, early stopping, learning-rate decay and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lecdsr.core.console import progress_bar, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.memory import release_freed_memory
from lecdsr.core.schemas import TRAIN, VALID
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.metrics import MONITOR
from lecdsr.models.base import Recommender
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.schedule import FixedSchedule, Schedule, is_low, make_schedule
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import Generators, Rates, TrainerState, TrainingResult, copy_weights
from lecdsr.train.step import Batch, Steps
from lecdsr.train.validator import SCORE, Validator

#: Number of steps between checks of the loss and of the checkpoint's age; on a GPU a check waits for all queued work.
CHECK_EVERY = 10


def train(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    settings: Any,
    shared: SharedSettings,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    context: DistributedContext | None = None,
    before_training: Callable[[Steps], None] | None = None,
    schedule: Sequence[Rates] | None = None,
) -> TrainingResult:
    """Train a model and return the weights of its best epoch on validation.

    The score of an epoch is NDCG@10 on the validation targets under full ranking, averaged over the two domains, or
    what else a model is stopped by (:attr:`~lecdsr.models.base.TrainedSettings.stopped_by`). When and how the learning
    rate falls, and when training stops, is decided by ``settings.lr_schedule`` (:mod:`lecdsr.train.schedule`).

    Epoch 0 of the log is the model before training. It is never chosen, because a model that reads texts can start
    above the score of its first epochs and would be reset to that start. A model with the objective ``counts`` is
    counted instead of trained and has epoch 0 only.

    Args:
        model: the model to train, changed in place; it ends with the weights of the last step, not of the best epoch.
        sequences: windows of all splits.
        info: the dataset that the model was built for.
        settings: settings of the model.
        shared: settings of all models.
        device: where to compute.
        checkpoints: keeps the state of the training, so that a killed run can resume; ``None`` keeps nothing.
        context: the processes that train together; ``None`` means only this one.
        before_training: called once before the first step, for example to check memory; may raise to cancel.
        schedule: learning rates of every epoch, as a former training chose them: train for exactly these, without
            validation, and keep the last weights. ``None`` chooses the best epoch on validation.

    Raises:
        UserError: there are no training or validation targets, the loss is not finite, or the checkpoint cannot be
            used.
    """
    model.to(device)
    validator = None
    if schedule is None:
        validator = make_validator(model, sequences, info, settings, shared, device, context)
    if model.objective == "counts":
        return _count(model, sequences.of_split(TRAIN), validator)
    model.count(sequences.of_split(TRAIN))
    steps = Steps(model, sequences, info, settings, shared, device, context)
    if before_training is not None:
        before_training(steps)
    fixed = None if schedule is None else FixedSchedule(schedule)
    return Trainer(steps, validator, shared, checkpoints, fixed).run()


def make_validator(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    settings: Any,
    shared: SharedSettings,
    device: torch.device,
    context: DistributedContext | None = None,
) -> Validator:
    """Make the validator of a training, on all validation targets or on a sample of them.

    Raises:
        UserError: there are no validation targets.
    """
    valid = sequences.of_split(VALID)
    if not len(valid):
        raise UserError(
            "there are no validation targets, so no best epoch can be chosen",
            where="sequences.split",
            do="choose another split, or move the validation period (`ratios` or `cuts`)",
            code="no-targets",
        )
    validator = Validator(
        model,
        valid,
        info,
        settings.history_length,
        device,
        context,
        shared.validation_targets,
        shared.seed,
        settings.stopped_by,
    )
    if shared.validation_targets is not None and (context is None or context.is_main):
        say(f"validating on {len(validator):,} of {len(valid):,} targets (train.shared.validation_targets)")
    return validator


def _count(model: Recommender, training: Sequences, validator: Validator | None) -> TrainingResult:
    """Fit a model that counts instead of learning weights."""
    begin = time.monotonic()
    model.count(training)
    scores = {} if validator is None else validator.evaluate()
    log: list[dict[str, float]] = [{"epoch": 0, **scores}]
    return TrainingResult(copy_weights(model), 0, scores.get(SCORE, -1.0), log, time.monotonic() - begin)


class Trainer:
    """Trainer of one model, from the beginning or from its checkpoint.

    Args:
        steps: batches and optimisers.
        validator: scores each epoch; ``None`` for a training that is not validated.
        shared: settings of all models.
        checkpoints: where to save the state; ``None`` saves nothing.
        schedule: learning rates and end of the training; ``None`` is the one of the settings.
    """

    def __init__(
        self,
        steps: Steps,
        validator: Validator | None,
        shared: SharedSettings,
        checkpoints: Checkpoints | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._steps, self._validator, self._shared, self._checkpoints = steps, validator, shared, checkpoints
        self._schedule = schedule or make_schedule(steps.settings, shared, steps.per_epoch)
        self._column = SCORE if validator is None else validator.column
        self.state = TrainerState(
            weights=copy_weights(steps.model),
            model=steps.model,
            optimisers=steps.optimisers,
            generators=Generators(steps.draws.generator, steps.device, steps.context),
        )
        self._counted_until = time.monotonic()

    def run(self) -> TrainingResult:
        """Train until the schedule ends."""
        state, total = self.state, self._schedule.most_epochs * self._steps.per_epoch
        if not self._resume() and self._validator is not None:
            state.log.append({"epoch": 0, **self._validate()})
        with progress_bar() as self._bar:
            self._task = self._bar.add_task("training", total=total, completed=self._steps_taken, note="")
            while not self._schedule.ended(state):
                self._run_epoch()
        self._add_seconds()
        before, best = state.log[0].get(SCORE), state.ndcg
        if self._steps.context.is_main and before is not None and before > best:
            warn(f"training lowered the validation score: {MONITOR} {before:.4f} before training, {best:.4f} at best")
        return state.result()

    def _run_epoch(self) -> None:
        """Train and validate one epoch, or the rest of one that was interrupted; without a validator only train."""
        begin, state, steps = time.monotonic(), self.state, self._steps
        state.rates = self._schedule.rates(state)
        steps.model.train()
        steps.model.low_rate = is_low(state.rates)
        for batch in steps.batches(state.epoch, state.step):
            self._run_step(batch)
        losses = self._mean_losses()
        scores = self._validate()
        state.log.append({"epoch": state.epoch, **losses, **scores})
        if steps.context.is_main:
            score = f", validation {MONITOR} {scores[SCORE]:.4f}" if scores else ""
            say(f"epoch {state.epoch}: loss {losses['loss']:.4g}{score}, {time.monotonic() - begin:.1f} s")
        self._schedule.after_epoch(state, scores.get(self._column, math.nan))
        state.epoch, state.step, state.loss_sums = state.epoch + 1, 0, None
        self._save_if_due()

    def _validate(self) -> dict[str, float]:
        """Score the current weights; nothing is scored without a validator.

        Steps and validations need arrays of other sizes, so each leaves its memory to the kernel and not to the other.
        """
        if self._validator is None:
            return {}
        release_freed_memory()
        scores = self._validator.evaluate()
        release_freed_memory()
        return scores

    def _run_step(self, batch: Batch) -> None:
        state = self.state
        first, last = state.rates
        factor = first + (last - first) * state.step / self._steps.per_epoch
        losses = self._steps.step(batch, self._steps_taken, factor)
        state.loss_names = self._steps.loss_names
        # Summed in double precision, since an epoch can have many thousands of steps.
        state.loss_sums = losses.double() if state.loss_sums is None else state.loss_sums + losses
        state.step += 1
        if state.step % CHECK_EVERY == 0:
            # A loss that is not finite raises here, so it never reaches a checkpoint.
            self._bar.update(self._task, note=f"loss {self._mean_losses()['loss']:.4g}")
            self._save_if_due()
        self._bar.advance(self._task)

    @property
    def _steps_taken(self) -> int:
        """Steps since training began, over all epochs."""
        return (self.state.epoch - 1) * self._steps.per_epoch + self.state.step

    def _mean_losses(self) -> dict[str, float]:
        """Return the mean of the loss and of each of its terms over the steps of this epoch so far.

        Raises:
            UserError: a mean is not finite.
        """
        state, checkpoints = self.state, self._checkpoints
        assert state.loss_sums is not None
        means = (state.loss_sums / state.step).tolist()
        if not np.isfinite(means).all():
            kept = checkpoints.path if checkpoints is not None and checkpoints.path.exists() else None
            raise UserError(
                f"the training loss is not finite in epoch {state.epoch}",
                where=str(kept) if kept else None,
                do="lower learning_rate of the model" + ("; the last checkpoint before it is kept" if kept else ""),
                code="loss-not-finite",
            )
        return dict(zip(state.loss_names, means, strict=True))

    def _save_if_due(self) -> None:
        """Write a checkpoint if the main process decides that it is due."""
        if self._checkpoints is None:
            return
        context = self._steps.context
        due = context.is_main and self._checkpoints.due()
        if context.size > 1:  # all processes decide alike, since all take part in gathering the state
            due = bool(context.sum(torch.tensor(float(due), device=self._steps.device)))
        if not due:
            return
        self._add_seconds()
        state = self.state.state_dict()
        if context.is_main:
            self._checkpoints.write(state)

    def _resume(self) -> bool:
        """Restore the state from the checkpoint, and return whether there was one."""
        if self._checkpoints is None:
            return False
        saved, is_main = self._checkpoints.read(), self._steps.context.is_main
        if saved is None:
            if is_main:
                self._checkpoints.report_others()
            return False
        try:
            self.state.load_state_dict(saved)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"the checkpoint does not fit this version of lecdsr: {str(error).splitlines()[0]}",
                where=str(self._checkpoints.path),
                do="delete it to train from the beginning",
                code="other-state",
            ) from error
        if is_main:
            say(f"resuming in epoch {self.state.epoch} after step {self.state.step} from {self._checkpoints.path}")
        return True

    def _add_seconds(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._counted_until
        self._counted_until = now
