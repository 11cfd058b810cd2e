"""Schedules of the learning rate: how long a training goes on, at which rates, and which epoch is kept.

A schedule gives the learning rate of an epoch as a pair of factors, at its first step and after its last; the rate
moves linearly in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from lecdsr.core.errors import UserError
from lecdsr.train.optimiser import falls_linearly
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import Rates, TrainerState, copy_weights

#: A learning rate of at most this share of the full one is low; the small excess lets a third of six epochs count.
LOW = 1 / 3 + 1e-6


class Schedule(Protocol):
    """Decides after each epoch how training goes on; all it remembers is in the state, so that a run can resume."""

    def rates(self, state: TrainerState) -> Rates:
        """Return the factors of the learning rate in the current epoch."""

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Take note of the validation score of the current epoch."""

    def ended(self, state: TrainerState) -> bool:
        """Whether training is over, before the current epoch."""

    @property
    def most_epochs(self) -> int:
        """The largest possible number of epochs."""


def make_schedule(settings: Any, shared: SharedSettings, steps_per_epoch: int) -> Schedule:
    """Return the schedule that the settings name.

    Args:
        settings: settings of the model.
        shared: settings of all models.
        steps_per_epoch: steps of an epoch.
    """
    if settings.lr_schedule == "plateau":
        return PlateauSchedule(settings.plateau_epochs, settings.plateau_patience, settings.plateau_decay_factor)
    if not falls_linearly(settings, steps_per_epoch):
        return StepSchedule(shared)
    epochs = max(settings.linear_epochs, -(-settings.linear_steps // steps_per_epoch))
    return LinearSchedule(min(epochs, shared.epochs))


def is_low(rates: Rates) -> bool:
    """Whether the learning rate is at most a third of the full one throughout the epoch."""
    return max(rates) <= LOW


class StepSchedule:
    """A constant rate until validation stalls, then a smaller constant rate from the best epoch on, and so on.

    After ``patience`` epochs without a better score, training continues from the best epoch with the learning rate
    multiplied by ``lr_decay_factor``. From then on one epoch without a better score is enough for the next decay.
    Training stops when a decay beyond ``lr_decays`` would be due, or after ``epochs``.

    Args:
        shared: settings of all models.
    """

    def __init__(self, shared: SharedSettings) -> None:
        self._shared = shared

    @property
    def most_epochs(self) -> int:
        """The largest possible number of epochs."""
        return self._shared.epochs

    def rates(self, state: TrainerState) -> Rates:
        """Return the same factor twice."""
        factor = self._shared.lr_decay_factor**state.decays
        return [factor, factor]

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Keep a better epoch; after too many epochs that are not better, decay the learning rate."""
        if keep_if_best(state, score):
            state.waited = 0
            return
        state.waited += 1
        if self._patience_used_up(state) and state.decays < self._shared.lr_decays:
            return_to_best(state)
            state.decays, state.waited = state.decays + 1, 0

    def ended(self, state: TrainerState) -> bool:
        """Whether the epochs or the patience are used up."""
        return state.epoch > self._shared.epochs or self._patience_used_up(state)

    def _patience_used_up(self, state: TrainerState) -> bool:
        return state.waited >= (1 if state.decays else self._shared.patience)


class PlateauSchedule:
    """A constant rate that decays whenever the score stalls, without a return to the best epoch.

    After ``patience`` epochs without a better score the rate is multiplied by ``decay_factor``, and training goes on
    from the weights it has. It stops after twice as many such epochs in a row, or after ``epochs``. The rule is that of
    ABXI's authors (``main.py`` of github.com/DiMarzioBian/ABXI, commit 3239e14).

    Args:
        epochs: maximum number of epochs.
        patience: epochs without a better score before a decay; half of those before the end.
        decay_factor: factor of each decay.
    """

    def __init__(self, epochs: int, patience: int, decay_factor: float) -> None:
        self.most_epochs, self._patience, self._factor = epochs, patience, decay_factor

    def rates(self, state: TrainerState) -> Rates:
        """Return the same factor twice."""
        factor = self._factor**state.decays
        return [factor, factor]

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Keep a better epoch; decay the learning rate when the patience is used up for the first time."""
        state.waited = 0 if keep_if_best(state, score) else state.waited + 1
        state.decays += state.waited == self._patience

    def ended(self, state: TrainerState) -> bool:
        """Whether the epochs, or twice the patience, are used up."""
        return state.epoch > self.most_epochs or state.waited >= 2 * self._patience


class LinearSchedule:
    """A rate that falls linearly to zero over a fixed number of epochs; the best of them is kept.

    Args:
        epochs: number of epochs.
    """

    def __init__(self, epochs: int) -> None:
        self.most_epochs = epochs

    def rates(self, state: TrainerState) -> Rates:
        """Return the factors at both ends of the current epoch, the last one 0."""
        return [1 - (state.epoch - 1) / self.most_epochs, 1 - state.epoch / self.most_epochs]

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Keep a better epoch."""
        keep_if_best(state, score)

    def ended(self, state: TrainerState) -> bool:
        """Whether all epochs are trained."""
        return state.epoch > self.most_epochs


class FixedSchedule:
    """The schedule that a former training chose, without validation; the last weights are kept.

    Args:
        epochs: factors of the learning rate in each epoch.
    """

    def __init__(self, epochs: Sequence[Rates]) -> None:
        self._epochs = [list(rates) for rates in epochs]

    @property
    def most_epochs(self) -> int:
        """The number of epochs."""
        return len(self._epochs)

    def rates(self, state: TrainerState) -> Rates:
        """Return the recorded factors."""
        return self._epochs[state.epoch - 1]

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Keep the weights of the last epoch."""
        state.path = [*state.path, state.rates]
        if state.epoch == len(self._epochs):
            state.weights, state.best_epoch, state.schedule = copy_weights(state.model), state.epoch, state.path

    def ended(self, state: TrainerState) -> bool:
        """Whether all epochs are trained."""
        return state.epoch > len(self._epochs)


def keep_if_best(state: TrainerState, score: float) -> bool:
    """Keep the weights of the current epoch if its score is the best so far, and return whether it is."""
    state.path = [*state.path, state.rates]
    if score <= state.best_score:
        return False
    state.weights, state.best_epoch, state.best_score = copy_weights(state.model), state.epoch, score
    state.schedule = state.path
    return True


def return_to_best(state: TrainerState) -> None:
    """Continue from the weights of the best epoch."""
    state.model.load_state_dict(state.weights)
    state.path = state.schedule


def check_schedule(value: object, what: str, where: str | None = None) -> list[Rates]:
    """Return a recorded schedule.

    Args:
        value: as read from ``config.json``.
        what: what it is the schedule of, for the message.
        where: the file it comes from.

    Raises:
        UserError: it is not a list of pairs of numbers.
    """
    if isinstance(value, list) and all(_is_rates(rates) for rates in value):
        return [[float(rate) for rate in rates] for rates in value]
    raise UserError(
        f"{what} has no recorded schedule, so nothing says how long to train",
        where=where,
        do="run `dvc repro` to train it again, which records the schedule of the best epoch",
    )


def _is_rates(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(rate, int | float) for rate in value)
