"""How the learning rate falls, when training ends, and training for exactly the schedule of the best epoch."""

import itertools

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.load import PairData
from lecdsr.train.fit import fit_model
from lecdsr.train.schedule import LinearSchedule, PlateauSchedule, StepSchedule, is_low, make_schedule
from lecdsr.train.state import TrainingResult
from tests import tiny
from tests.models.settings import sasrec_settings, settings_for, shared_settings
from tests.train import counter
from tests.train.counter import STEPS_PER_EPOCH, Counter, train_counter

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
    assert isinstance(
        make_schedule(settings_for("abxi", lr_schedule="plateau"), shared_settings(), 10), PlateauSchedule
    )


@pytest.mark.parametrize(("steps_per_epoch", "kind"), [(50, LinearSchedule), (49, StepSchedule)])
def test_on_small_data_the_rate_falls_in_steps(steps_per_epoch, kind):
    chosen = SETTINGS.model_copy(update={"lr_schedule": "auto", "linear_epochs": 6, "linear_steps": 300})
    assert isinstance(make_schedule(chosen, shared_settings(), steps_per_epoch), kind)


@pytest.mark.parametrize(
    ("rates", "low"),
    [([1.0, 1.0], False), ([0.5, 0.25], False), ([2 / 6, 1 / 6], True), ([0.3, 0.3], True), ([0.1, 0.0], True)],
)
def test_a_rate_is_low_from_a_third_on(rates, low):
    assert is_low(rates) == low


@pytest.mark.parametrize(
    ("ranks", "patience", "best", "epochs"),
    [
        # Ranks of epochs 0, 1, 2 …; the smaller the better.
        ([9, 5, 3, 4, 5, 1], 2, 2, 4),
        ([9, 5, 3, 4, 5, 1], 3, 5, 5),
        ([9, 5, 5, 5, 5, 5], 2, 1, 3),  # as good is not better
        ([9, 8, 7, 6, 5, 4], 1, 5, 5),
        ([1, 4, 3, 2, 3, 3], 1, 3, 4),  # the model before training is no epoch to wait for or to keep
        ([9, 5, 6, 4, 6, 3], 1, 1, 2),
        ([50, 40, 30, 20, 11, 3], 5, 5, 5),  # nothing among the first ten for a while
    ],
)
def test_early_stopping(scripted, ranks, patience, best, epochs):
    seen = scripted(ranks)
    result = train_counter(epochs=5, patience=patience)
    assert [row["epoch"] for row in result.log] == list(range(epochs + 1))
    assert result.best_epoch == best
    assert result.weights["weight"].item() == seen[best]
    assert len(set(seen)) == len(seen)  # the weights went on changing
    expected = 1 / np.log2(1 + ranks[best]) if ranks[best] <= 10 else 0
    assert result.best_score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lr_decays", "at"),
    [
        (0, [0, 1, 2, 3]),  # ends two epochs after the best
        # Falls after two worse epochs and goes on from epoch 1; epoch 4 is better, 5 is not: from 4; 6 is not: the end.
        (2, [0, 1, 2, 3, 1.5, 2, 1.75]),
        (1, [0, 1, 2, 3, 1.5, 2]),
        # One fall more: from 4 at an eighth of the rate.
        (3, [0, 1, 2, 3, 1.5, 2, 1.75, 1.625]),
    ],
)
def test_the_rate_falls_where_validation_stalls_and_training_goes_on_from_the_best(scripted, lr_decays, at):
    seen = scripted([9, 5, 6, 7, 4, 6, 6, 6, 6])
    result = train_counter(epochs=8, patience=2, lr_decays=lr_decays, lr_decay_factor=0.5)
    # The gradient is one at every step, so that AdamW moves by the rate times the steps of an epoch.
    assert [(weight - seen[0]) / (seen[1] - seen[0]) for weight in seen] == pytest.approx(at, rel=1e-3)
    assert result.weights["weight"].item() == seen[4 if lr_decays else 1]


@pytest.mark.parametrize(
    ("ranks", "epochs", "at", "best", "schedule"),
    [
        # Worse twice: half the rate from there on; worse twice again: the end.
        ([9, 5, 6, 7, 6, 6, 1], 20, [0, 1, 2, 3, 3.5, 4], 1, [1]),
        # A better epoch 4 keeps the rate, and the patience starts again.
        ([9, 5, 6, 7, 4, 6, 6, 6, 6, 1], 20, [0, 1, 2, 3, 3.5, 4, 4.5, 4.75, 5], 4, [1, 1, 1, 0.5]),
        ([9, 5, 6, 4, 6, 6, 1], 4, [0, 1, 2, 3, 4], 3, [1, 1, 1]),
    ],
)
def test_the_rate_falls_at_a_plateau_without_a_return_to_the_best(scripted, ranks, epochs, at, best, schedule):
    seen = scripted(ranks)
    plateau = {"plateau_epochs": epochs, "plateau_patience": 2, "plateau_decay_factor": 0.5}
    settings = settings_for("abxi", lr_schedule="plateau", learning_rate=0.01, batch_size=8, **plateau)
    result = train_counter(settings=settings, epochs=1)  # the number of epochs for all models is not used
    assert [(weight - seen[0]) / (seen[1] - seen[0]) for weight in seen] == pytest.approx(at, rel=1e-3)
    assert (result.best_epoch, result.weights["weight"].item()) == (best, seen[best])
    assert result.schedule == [[rate, rate] for rate in schedule]
    assert result.ndcg == result.best_score == pytest.approx(1 / np.log2(1 + ranks[best]))


def test_the_epoch_is_chosen_by_the_metric_that_the_settings_name(scripted, monkeypatch):
    from lecdsr.train.validator import Validator

    seen = scripted([9, 5, 3, 4, 8, 8])
    order = iter([0.0, 0.1, 0.2, 0.4, 0.3, 0.3])
    monkeypatch.setattr(Validator, "_sampled_mrr", lambda *_: next(order))
    settings = settings_for("abxi", learning_rate=0.01, batch_size=8, stop_by="sampled_mrr")
    result = train_counter(settings=settings, epochs=5, patience=2)
    assert (result.best_epoch, result.best_score, result.weights["weight"].item()) == (3, 0.4, seen[3])
    assert result.ndcg == pytest.approx(1 / np.log2(1 + 4))


def train_linearly(model=None, **changed) -> TrainingResult:
    settings = counter.SETTINGS.model_copy(update={"lr_schedule": "linear", **changed})
    return train_counter(model=model, settings=settings)


@pytest.mark.parametrize(
    ("changed", "epochs"),
    [
        ({"linear_epochs": 3, "linear_steps": 0}, 3),
        ({"linear_epochs": 2, "linear_steps": 5 * STEPS_PER_EPOCH}, 5),
        ({"linear_epochs": 2, "linear_steps": 4 * STEPS_PER_EPOCH + 1}, 5),  # whole epochs
        ({"linear_epochs": 100, "linear_steps": 0}, 15),  # never more than train.shared.epochs
    ],
)
def test_a_linear_rate_falls_to_zero_over_a_fixed_length(scripted, changed, epochs):
    seen = scripted([9, *[5] * 3, 2, *[5] * 20])
    result = train_linearly(**changed)
    assert len(seen) == epochs + 1
    assert result.best_epoch == (4 if epochs >= 4 else 1)
    expected = [[1 - epoch / epochs, 1 - (epoch + 1) / epochs] for epoch in range(result.best_epoch)]
    assert result.schedule == [pytest.approx(rates) for rates in expected]
    # The gradient is one at every step, so that AdamW moves by the rate. The warm-up of 50 steps is longer than here.
    moved = [after - before for before, after in itertools.pairwise(seen)]
    if epochs == 3:
        factors = [
            [(1 - (step / STEPS_PER_EPOCH + epoch) / 3) * min(1, (epoch * STEPS_PER_EPOCH + step + 1) / 50)
             for step in range(STEPS_PER_EPOCH)]
            for epoch in range(3)
        ]  # fmt: skip
        ratios = [sum(factors[epoch]) / sum(factors[0]) for epoch in range(3)]
        assert [move / moved[0] for move in moved] == pytest.approx(ratios, rel=1e-2)


def test_the_model_knows_when_the_rate_is_low(scripted):
    scripted([9] * 10)
    phases = []

    class Watching(Counter):
        def compute_loss(self, batch, draws):
            phases.append(self.low_rate)
            return super().compute_loss(batch, draws)

    train_linearly(Watching(), linear_epochs=6, linear_steps=0)
    assert phases == [False] * 4 * STEPS_PER_EPOCH + [True] * 2 * STEPS_PER_EPOCH


@pytest.mark.parametrize(
    ("ranks", "settings", "changed", "schedule"),
    [
        ([9, 5, 3, 4], {"lr_schedule": "linear", "linear_epochs": 4, "linear_steps": 0}, {}, [[1, 0.75], [0.75, 0.5]]),
        # Falls after epochs 2 and 3, continues from 1; epoch 4 is better, 5 is not: from 4, whose successor is not.
        ([9, 5, 6, 7, 4, 6, 6], {}, {"patience": 2, "lr_decays": 2, "lr_decay_factor": 0.5}, [[1, 1], [0.5, 0.5]]),
    ],
)
def test_the_schedule_of_the_best_epoch_trains_the_same_weights_again(scripted, ranks, settings, changed, schedule):
    scripted([*ranks, *[9] * 10])
    chosen = counter.SETTINGS.model_copy(update=settings)
    result = train_counter(settings=chosen, epochs=8, **changed)
    assert result.schedule == schedule
    again = train_counter(settings=chosen, schedule=result.schedule)
    assert again.schedule == schedule
    assert again.best_epoch == len(schedule)
    assert all("valid_ndcg@10" not in row for row in again.log)
    assert again.weights["weight"].item() == pytest.approx(result.weights["weight"].item(), rel=1e-3)


def test_a_rate_does_not_fall_back_to_before_training(scripted):
    seen = scripted([1, 9, 8, 7, 6, 6, 5, 5])
    train_counter(epochs=7, patience=2, lr_decays=1, lr_decay_factor=0.5)
    # No epoch is as good as the model before training; of the trained ones, none waits two for a better one.
    assert [(weight - seen[0]) / (seen[1] - seen[0]) for weight in seen] == pytest.approx(range(8), rel=1e-3)
