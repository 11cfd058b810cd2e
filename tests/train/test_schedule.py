"""The schedule of the best epoch, and training for exactly that schedule."""

import pytest
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.load import PairData
from lecdsr.train.fit import fit_model
from lecdsr.train.schedule import LinearSchedule, StepSchedule, is_low, make_schedule
from tests import tiny
from tests.models.settings import sasrec_settings, settings_for, shared_settings

N = 8
SETTINGS = sasrec_settings(width=8, heads=1, layers=1, history_length=6, batch_size=16, learning_rate=0.02)


def data():
    return PairData(tiny.info(N, N, 2 * N), tiny.sequences(tiny.circle(N), N))


def test_the_schedule_alone_gives_the_same_weights():
    """Without a decay nothing was dropped, so that training for the schedule repeats the chosen run to the bit."""
    shared = shared_settings(epochs=6, patience=6, lr_decays=0, device="cpu", warmup_steps=5)
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
    linear = SETTINGS.model_copy(update={"lr_schedule": "linear"})
    assert isinstance(make_schedule(linear, shared_settings(), 10), LinearSchedule)
    assert isinstance(make_schedule(SETTINGS, shared_settings(), 10), StepSchedule)


@pytest.mark.parametrize(
    ("rates", "low"),
    [([1.0, 1.0], False), ([0.5, 0.25], False), ([2 / 6, 1 / 6], True), ([0.3, 0.3], True), ([0.1, 0.0], True)],
)
def test_a_rate_is_low_from_a_third_on(rates, low):
    assert is_low(rates) == low
