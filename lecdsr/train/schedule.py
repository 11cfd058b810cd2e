"""Schedules of the learning rate: how long a training goes on, at which rates, and which epoch is kept.

A schedule gives the learning rate of an epoch as a pair of factors, at its first step and after its last; the rate
moves linearly in between. An epoch whose rate falls belongs to a cooldown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lecdsr.core.errors import UserError
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import Rates, TrainerState, copy_weights
from lecdsr.train.validator import SCORE


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


def make_schedule(shared: SharedSettings) -> Schedule:
    """Return the schedule that the settings name."""
    return CooldownSchedule(shared) if shared.lr_schedule == "cooldown" else StepSchedule(shared)


def ends_cooldown(rates: Rates) -> bool:
    """Whether the learning rate falls to zero within the epoch."""
    return rates[1] == 0 < rates[0]


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


class CooldownSchedule:
    """A constant rate while validation improves clearly, then a few epochs from a smaller rate linearly to zero.

    The cooldown starts from the best epoch, once ``patience`` epochs have raised the best score by less than the share
    ``min_gain`` together, or so that it ends with epoch ``epochs``. Most of the gain of a lower rate comes within
    the first epochs (warmup-stable-decay, Hu et al. 2024, arXiv 2404.06395); training past the point where gains are
    small costs time and overfits.

    Args:
        shared: settings of all models.
    """

    def __init__(self, shared: SharedSettings) -> None:
        self._shared = shared
        self._length = min(shared.cooldown_epochs, shared.epochs - 1)

    @property
    def most_epochs(self) -> int:
        """The largest possible number of epochs."""
        return self._shared.epochs

    def rates(self, state: TrainerState) -> Rates:
        """Return 1 twice before the cooldown, and falling factors in it."""
        if state.cooled is None:
            return [1.0, 1.0]
        first, last = (1 - (state.cooled + epoch) / self._length for epoch in (0, 1))
        return [self._shared.cooldown_factor * first, self._shared.cooldown_factor * last]

    def after_epoch(self, state: TrainerState, score: float) -> None:
        """Keep a better epoch, and start the cooldown when it is due."""
        better = keep_if_best(state, score)
        if state.cooled is not None:
            state.cooled += 1
        elif self._gains_little(state) or state.epoch + self._length >= self._shared.epochs:
            state.cooled = 0
            if not better:
                return_to_best(state)

    def _gains_little(self, state: TrainerState) -> bool:
        """Whether the last ``patience`` epochs raised the best score by less than the share ``min_gain``."""
        scores = [row[SCORE] for row in state.log[1:]]  # epoch 0 is the model before training
        patience = self._shared.patience
        return len(scores) > patience and max(scores) < max(scores[:-patience]) * (1 + self._shared.min_gain)

    def ended(self, state: TrainerState) -> bool:
        """Whether the cooldown is over."""
        return state.cooled is not None and state.cooled >= self._length


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
