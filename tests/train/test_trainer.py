"""The training loop learns, repeats exactly, stops in time, and refuses what cannot work."""

import numpy as np
import pytest
import torch
from rich.console import Console

from lecdsr.core import console
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import TEST, TRAIN, VALID
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.data.sequences import from_tables, own_domain
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.base import LossTerm
from lecdsr.models.popularity import Settings as PopularitySettings
from lecdsr.models.saved import build
from lecdsr.train import validator as validation
from lecdsr.train.state import TrainingResult, log_to_csv
from lecdsr.train.step import Steps
from lecdsr.train.trainer import train
from tests.errors import refused
from tests.models.settings import lecdsr_settings, sasrec_settings
from tests.tiny import info, interactions, sequences, windows_table
from tests.train import counter
from tests.train.counter import CPU, WALKS, Counter, N, shared, train_counter

CIRCLE = WALKS[0] + WALKS[9] + WALKS[18][:6]

SETTINGS = {
    "sasrec": counter.SETTINGS,
    "sasrec with text": sasrec_settings(
        width=32, layers=1, history_length=8, batch_size=8, learning_rate=0.01, dropout=0.1, item_text="vectors"
    ),
    "lecdsr": lecdsr_settings(
        width=32, hidden=32, history_length=8, batch_size=16, learning_rate=0.01, negatives=10, tau=1.0, alignment=0.01
    ),
    "lecdsr, moe, no padding mask": lecdsr_settings(
        width=32,
        hidden=32,
        history_length=8,
        batch_size=16,
        learning_rate=0.01,
        negatives=10,
        tau=1.0,
        alignment=0.01,
        projection="moe",
        experts=3,
        mask_padding=False,
        reduction="mean",
    ),
}


def fit(name: str, walks: list[list[int]] = WALKS, **changed) -> TrainingResult:
    chosen, data = shared(**changed), info(N, N, len(walks), 16)
    model = build(name.split()[0].strip(","), SETTINGS[name], data, chosen.seed)
    return train(model, sequences(walks, N), data, SETTINGS[name], chosen, CPU)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_loss_falls(name):
    result = fit(name, epochs=30)
    losses = [row["loss"] for row in result.log[1:]]
    assert losses[-1] < losses[0] / 2
    assert result.best_score > 0.95


@pytest.mark.parametrize("name", SETTINGS)
def test_same_seed_same_weights_and_log(name):
    first, again, other = (fit(name, epochs=2, seed=seed) for seed in (1, 1, 2))
    assert first.weights.keys() == again.weights.keys()
    assert all(torch.equal(first.weights[key], again.weights[key]) for key in first.weights)
    assert log_to_csv(first.log) == log_to_csv(again.log)
    assert any(not torch.equal(first.weights[key], other.weights[key]) for key in first.weights)
    assert log_to_csv(first.log) != log_to_csv(other.log)


def test_the_weights_are_those_of_the_score():
    result = fit("sasrec", epochs=4)
    data = info(N, N, len(WALKS), 16)
    model = build("sasrec", SETTINGS["sasrec"], data, 7)
    model.load_state_dict(result.weights)
    valid = sequences(WALKS, N).of_split(VALID)
    validator = validation.Validator(model, valid, data, SETTINGS["sasrec"].history_length, CPU)
    assert validator.evaluate()[validation.SCORE] == result.best_score
    assert result.best_score == max(row["valid_ndcg@10"] for row in result.log)
    assert result.log[result.best_epoch]["valid_ndcg@10"] == result.best_score


def test_the_score_is_the_mean_over_the_domains():
    for row in fit("sasrec", epochs=2).log:
        assert row["valid_ndcg@10"] == pytest.approx((row["valid_x_ndcg@10"] + row["valid_y_ndcg@10"]) / 2)


def test_the_log_as_csv():
    log = fit("lecdsr", epochs=2).log
    lines = log_to_csv(log).splitlines()
    columns = lines[0].split(",")
    assert columns[0] == "epoch"
    assert {"loss", "loss_ranking", "loss_alignment", "valid_ndcg@10", "valid_x_ndcg@10"} <= set(columns)
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["loss_ranking"] == ""  # nothing was trained yet
    for row, facts in zip(rows, log, strict=True):
        assert float(row["valid_ndcg@10"]) == pytest.approx(facts["valid_ndcg@10"], rel=1e-5)
    share = float(rows[1]["loss_ranking"]) + float(rows[1]["loss_alignment"])
    assert share == pytest.approx(float(rows[1]["loss"]), rel=1e-4)


def test_popularity_is_counted_not_trained():
    counts = torch.arange(2 * N).flip(0)
    data = DatasetInfo(N, N, len(WALKS), None, None, counts)
    settings = PopularitySettings()
    result = train(build("popularity", settings, data, 1), sequences(WALKS, N), data, settings, shared(), CPU)
    assert result.best_epoch == 0
    assert [row["epoch"] for row in result.log] == [0]
    assert torch.equal(result.weights["counts"], counts.float())
    assert 0 < result.best_score < 1


@pytest.mark.parametrize(("ranks", "told"), [([1, 9, 8, 7], True), ([9, 8, 7, 6], False), ([9, 8, 7, 9], False)])
def test_training_that_only_harms_is_told(scripted, capsys, ranks, told):
    scripted(ranks)
    train_counter(epochs=3, patience=3)
    err = " ".join(capsys.readouterr().err.split())
    assert ("1.0000 before training, 0.3333 at best" in err) == told
    assert ("warning" in err) == told


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite(bad):
    with refused("loss-not-finite") as caught:
        train_counter(model=Counter(bad))
    assert "learning_rate" in caught.value.do


@pytest.mark.parametrize("name", ["sasrec", "lecdsr"])
def test_a_learning_rate_beyond_reason(name):
    data = info(N, N, len(WALKS), 16)
    settings = SETTINGS[name].model_copy(update={"learning_rate": 1e30})
    model = build(name, settings, data, 1)
    with pytest.raises(UserError) as caught:
        train(model, sequences(WALKS, N), data, settings, shared(), CPU)
    assert caught.value.code in ("loss-not-finite", "nan-score")


def test_no_validation_targets():
    built = sequences(WALKS, N)
    with refused("no-targets", "sequences.split"):
        train_counter(built.take(built.split != VALID))


def test_no_training_targets():
    built = sequences(WALKS, N)
    with refused("no-targets", "sequences"):
        train_counter(built.take(built.split != TRAIN))


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("name", ["sasrec", "lecdsr"])
def test_a_domain_without_validation_targets(name, domain):
    built = sequences(WALKS, N)
    in_y = built.target >= N
    built = built.take((built.split != VALID) | (in_y == bool(domain)))
    data = info(N, N, len(WALKS), 16)
    result = train(build(name, SETTINGS[name], data, 1), built, data, SETTINGS[name], shared(epochs=2), CPU)
    present, absent = (f"valid_{name}_ndcg@10" for name in ("xy"[domain], "xy"[1 - domain]))
    for row in result.log:
        assert row["valid_ndcg@10"] == row[present]
        assert absent not in row
        assert np.isfinite(row["valid_ndcg@10"])


@pytest.mark.parametrize("name", SETTINGS)
def test_training_in_one_domain_only(name):
    # All training targets are of X: nothing of Y has a loss, and nothing breaks.
    walks = [[item for item in walk if item < N] for walk in WALKS]
    result = fit(name, walks, epochs=2)
    assert all(np.isfinite(row["valid_ndcg@10"]) for row in result.log)
    assert "valid_y_ndcg@10" not in result.log[0]


@pytest.mark.parametrize("name", ["sasrec", "lecdsr"])
def test_training_on_the_own_domain(name):
    data = info(N, N, len(WALKS), 16)
    settings = SETTINGS[name].model_copy(update={"domains": "own", "batch_size": 1})
    built = own_domain(sequences(WALKS, N), N)
    result = train(build(name, settings, data, 1), built, data, settings, shared(epochs=1), CPU)
    assert all(np.isfinite(value) for row in result.log for value in row.values())


def test_every_training_target_is_seen_once_an_epoch():
    built, data = sequences(WALKS, N), info(N, N, len(WALKS), 16)
    for name in ("sasrec", "lecdsr"):
        settings = SETTINGS[name].model_copy(update={"history_length": 3, "batch_size": 5})
        steps = Steps(build(name, settings, data, 1), built, data, settings, shared(), CPU)
        for epoch in (1, 2):
            batches = list(steps.batches(epoch))
            assert len(batches) == steps.per_epoch
            targets = [getattr(batch, "targets", getattr(batch, "target", None)).flatten() for batch in batches]
            seen = torch.cat(targets)
            seen = sorted(seen[seen != 2 * N].tolist())
            assert seen == sorted(item for walk in WALKS for item in walk[1:7])


def test_epochs_have_different_orders():
    built, data = sequences(WALKS, N), info(N, N, len(WALKS), 16)
    steps = Steps(build("lecdsr", SETTINGS["lecdsr"], data, 1), built, data, SETTINGS["lecdsr"], shared(), CPU)
    first, second = ([batch.target.tolist() for batch in steps.batches(epoch)] for epoch in (1, 2))
    assert first != second


def test_dropout_is_on_in_every_epoch():
    modes = []

    class Recorder(Counter):
        def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
            modes.append(self.training)
            return super().compute_loss(batch, draws)

    train(Recorder(), sequences(WALKS, N), info(N, N), SETTINGS["sasrec"], shared(epochs=3), CPU)
    assert len(modes) > 3
    assert all(modes)


def test_validation_draws_nothing_from_the_training():
    # Ranking between epochs must not move the sources of randomness.
    data = info(N, N, len(WALKS), 16)
    model = build("lecdsr", SETTINGS["lecdsr, moe, no padding mask"], data, 1)
    state = torch.random.get_rng_state()
    rank_targets(model, sequences(WALKS, N).of_split(VALID), data, 8, 4, CPU)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_validation_ranks_a_sample_drawn_once_by_the_seed():
    data, valid = info(N, N, len(WALKS), 16), sequences(WALKS, N).of_split(VALID)
    model = build("sasrec", SETTINGS["sasrec"], data, 7)

    def ranked(targets, seed):
        made = validation.Validator(model, valid, data, 8, CPU, targets=targets, seed=seed)
        return len(made), made._valid.user.tolist(), made.evaluate()

    assert ranked(5, 1)[0] == 5
    assert ranked(5, 1) == ranked(5, 1)
    assert ranked(5, 1)[1] != ranked(5, 2)[1]
    assert set(ranked(5, 1)[1]) <= set(valid.user.tolist())
    assert ranked(10**6, 1)[1:] == ranked(None, 1)[1:]


def test_a_training_can_validate_on_a_sample(capsys):
    result = fit("sasrec", epochs=2, validation_targets=7)
    assert "7 of" in capsys.readouterr().out
    assert len(result.log) == 3


def test_freed_memory_is_released_before_and_after_each_validation(monkeypatch):
    calls = []
    monkeypatch.setattr("lecdsr.train.trainer.release_freed_memory", lambda: calls.append("released"))
    evaluate = validation.Validator.evaluate
    monkeypatch.setattr(validation.Validator, "evaluate", lambda it: calls.append("validated") or evaluate(it))
    train_counter(epochs=2)
    assert calls == ["released", "validated", "released"] * 3


def test_validation_batches_shrink_with_the_catalogue():
    small, large = info(N, N), info(3, 3)
    object.__setattr__(large, "n_x", 10**6)
    assert validation.validation_batch(small) == validation.VALIDATION_BATCH
    assert validation.validation_batch(large) * 10**6 <= 2**26


def test_training_on_a_terminal(monkeypatch, capsys):
    # Progress bars lie within one another: the steps of all epochs, and the ranking after each.
    monkeypatch.setattr(console, "console", Console(force_terminal=True, width=80))
    result = fit("lecdsr", epochs=1)
    assert len(result.log) == 2
    assert "training" in capsys.readouterr().out


def test_windows_shorter_than_the_history_length_and_longer():
    table = interactions([CIRCLE[:20]], N)
    rows = [(TRAIN, 0, 0, 2, 15), (TRAIN, 0, 15, 16, 18), (VALID, 0, 0, 18, 19), (TEST, 0, 0, 19, 20)]
    built, data = from_tables(table, windows_table(rows)), info(N, N, 1, 16)
    for name, settings in SETTINGS.items():
        model = build(name.split()[0].strip(","), settings, data, 1)
        assert len(train(model, built, data, settings, shared(epochs=1), CPU).log) == 2
