"""The schedule that led to the best epoch, and training for it."""

import pytest
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.load import PairData
from lecdsr.train.fit import fit_model
from lecdsr.train.schedule import schedule_of
from lecdsr.train.trainer import Trainer
from tests import tiny
from tests.models.settings import sasrec_settings, settings_for, shared_settings

N = 8
SETTINGS = sasrec_settings(width=8, heads=1, layers=1, history_length=6, batch_size=16, learning_rate=0.02)


def data():
    return PairData(tiny.info(N, N, 2 * N), tiny.sequences(tiny.circle(N), N))


def log_of(*scores):
    return [{"epoch": 0, "valid_ndcg@10": 0.9}, *({"epoch": 1 + e, "valid_ndcg@10": s} for e, s in enumerate(scores))]


@pytest.mark.parametrize(
    ("scores", "schedule"),
    [
        ([0.1], [1]),
        ([0.1, 0.2, 0.3], [3]),  # stopped by the number of epochs
        ([0.1, 0.05, 0.2, 0.2], [3]),  # a worse epoch before the best one counts: its weights were trained on
        # Epochs 3 and 4 are dropped: the rate falls, and training goes on from epoch 2.
        ([0.1, 0.2, 0.15, 0.1, 0.3, 0.4, 0.35, 0.5, 0.4, 0.4], [2, 2, 1]),
        ([0.1, 0.2, 0.15, 0.1, 0.1, 0.3, 0.2], [2, 0, 1]),  # the first decay helped nothing
        ([], []),
    ],
)
def test_by_hand(scores, schedule):
    shared = shared_settings(patience=2, lr_decays=2)
    assert schedule_of(log_of(*scores), shared) == schedule


@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_what_the_trainer_did(monkeypatch, seed):
    """Follow the weights of a real training through its decays."""
    path, best, tried = [], [], []
    run_epoch, compare = Trainer._run_epoch, Trainer._compare_with_best

    def recorded_epoch(self):
        path.append(self.state.decays)
        tried.append(self.state.decays)
        run_epoch(self)

    def recorded_comparison(self, score):
        decays = self.state.decays
        compare(self, score)
        if self.state.best_epoch == self.state.epoch:
            best[:] = path
        if self.state.decays > decays:
            path[:] = best

    monkeypatch.setattr(Trainer, "_run_epoch", recorded_epoch)
    monkeypatch.setattr(Trainer, "_compare_with_best", recorded_comparison)
    shared = shared_settings(seed=seed, epochs=30, patience=2, lr_decays=3, device="cpu")
    result = fit_model("sasrec", SETTINGS, shared, data(), quiet=True).result
    schedule = schedule_of(result.log, shared)
    assert [decays for decays, epochs in enumerate(schedule) for _ in range(epochs)] == best
    assert len(tried) > len(best)  # some epochs led nowhere


def test_the_schedule_alone_gives_the_same_weights():
    """Without a decay nothing was dropped, so that training for the schedule repeats the chosen run to the bit."""
    shared = shared_settings(epochs=6, patience=6, lr_decays=0, device="cpu", warmup_steps=5)
    fitted = fit_model("sasrec", SETTINGS, shared, data(), quiet=True)
    schedule = schedule_of(fitted.result.log, shared)
    assert schedule == [fitted.result.best_epoch]
    again = fit_model("sasrec", SETTINGS, shared, data(), quiet=True, schedule=schedule)
    for name, value in fitted.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert [row["epoch"] for row in again.result.log] == list(range(1, sum(schedule) + 1))


def test_the_rate_falls_where_the_schedule_says():
    rates = []
    from lecdsr.train.optimiser import Optimisers

    original = Optimisers.step
    try:
        Optimisers.step = lambda self, taken, factor=1.0: rates.append(factor) or original(self, taken, factor)
        shared = shared_settings(epochs=1, lr_decay_factor=0.5, device="cpu")  # the number of epochs is not used
        fit_model("sasrec", SETTINGS, shared, data(), quiet=True, schedule=[1, 0, 2])
    finally:
        Optimisers.step = original
    per_epoch = len(rates) // 3
    assert rates == [1.0] * per_epoch + [0.25] * 2 * per_epoch


def test_no_validation_targets_are_needed():
    pair = data()
    training = pair._replace(sequences=pair.sequences.of_split(TRAIN))
    fit_model("sasrec", SETTINGS, shared_settings(device="cpu"), training, quiet=True, schedule=[1])
    counted = fit_model("itemknn", settings_for("itemknn"), shared_settings(), training, quiet=True, schedule=[])
    assert counted.network.similarities.any()
