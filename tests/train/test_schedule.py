"""The schedule of the best epoch, and training for exactly that schedule."""

import pytest
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.load import PairData
from lecdsr.train.fit import fit_model
from lecdsr.train.schedule import CooldownSchedule, StepSchedule, ends_cooldown, make_schedule
from tests import tiny
from tests.models.settings import sasrec_settings, settings_for, shared_settings

N = 8
SETTINGS = sasrec_settings(width=8, heads=1, layers=1, history_length=6, batch_size=16, learning_rate=0.02)


def data():
    return PairData(tiny.info(N, N, 2 * N), tiny.sequences(tiny.circle(N), N))


def test_the_schedule_alone_gives_the_same_weights():
    """Without a decay nothing was dropped, so that training for the schedule repeats the chosen run to the bit."""
    shared = shared_settings(epochs=6, patience=6, lr_schedule="steps", lr_decays=0, device="cpu", warmup_steps=5)
    fitted = fit_model("sasrec", SETTINGS, shared, data(), quiet=True)
    schedule = fitted.result.schedule
    assert schedule == [[1.0, 1.0]] * fitted.result.best_epoch
    again = fit_model("sasrec", SETTINGS, shared, data(), quiet=True, schedule=schedule)
    for name, value in fitted.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert [row["epoch"] for row in again.result.log] == list(range(1, len(schedule) + 1))


def test_the_rate_falls_where_the_schedule_says():
    rates = []
    from lecdsr.train.optimiser import Optimisers

    original = Optimisers.step
    try:
        Optimisers.step = lambda self, taken, factor=1.0: rates.append(factor) or original(self, taken, factor)
        shared = shared_settings(epochs=1, device="cpu")  # the number of epochs is not used
        fit_model("sasrec", SETTINGS, shared, data(), quiet=True, schedule=[[1, 1], [0.25, 0.25], [0.25, 0]])
    finally:
        Optimisers.step = original
    per_epoch = len(rates) // 3
    falling = [0.25 * (1 - step / per_epoch) for step in range(per_epoch)]
    assert rates == pytest.approx([1.0] * per_epoch + [0.25] * per_epoch + falling)


def test_no_validation_targets_are_needed():
    pair = data()
    training = pair._replace(sequences=pair.sequences.of_split(TRAIN))
    fit_model("sasrec", SETTINGS, shared_settings(device="cpu"), training, quiet=True, schedule=[[1, 1]])
    counted = fit_model("itemknn", settings_for("itemknn"), shared_settings(), training, quiet=True, schedule=[])
    assert counted.network.similarities.any()


def test_the_settings_choose_the_schedule():
    assert isinstance(make_schedule(shared_settings(lr_schedule="cooldown")), CooldownSchedule)
    assert isinstance(make_schedule(shared_settings(lr_schedule="steps")), StepSchedule)


def test_a_cooldown_ends_at_zero():
    assert ends_cooldown([0.25, 0.0])
    assert not ends_cooldown([1.0, 0.5])
    assert not ends_cooldown([0.3, 0.3])
