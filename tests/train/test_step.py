"""Shares of a batch cover it, draw the same negatives, and may be empty; optimisers that update by row."""

import pytest
import torch

from lecdsr.data.negatives import Draws
from lecdsr.models.saved import build
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.step import Objective, Steps
from tests.errors import refused
from tests.models.settings import lecdsr_settings, sasrec_settings, settings_for, shared_settings
from tests.tiny import info, sequences

CPU = torch.device("cpu")
HISTORIES = [[0, 6, 1, 7, 2, 8, 3, 9], [10, 5, 4, 9, 3], [1, 2, 3, 4], [6, 0, 7, 10, 5, 2]]
SETTINGS = {
    "lecdsr": lecdsr_settings(width=8, hidden=12, history_length=5, negatives=3, batch_size=4),
    "sasrec": sasrec_settings(width=8, heads=2, history_length=5, batch_size=2, item_text="vectors", dropout=0.0),
    "abxi": settings_for(
        "abxi", width=8, history_length=5, batch_size=2, dropout=0.0, loss="sampled_softmax", negatives=3
    ),
}


def steps_of(model, context=None, settings=None, **shared):
    data, chosen = info(), settings or SETTINGS[model]
    network = build(model, chosen, data, 1).train()
    return Steps(network, sequences(HISTORIES, 6), data, chosen, shared_settings(**shared), CPU, context)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_shares_cover_everything_once(size, count):
    parts = [DistributedContext(rank, size).share(count) for rank in range(size)]
    assert [place for part in parts for place in range(count)[part]] == list(range(count))


@pytest.mark.parametrize("model", SETTINGS)
@pytest.mark.parametrize("size", [2, 3])
def test_the_sums_of_all_shares_are_those_of_the_whole(model, size, monkeypatch):
    # The wrapper would want to talk to the other processes.
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda module, **_: module)
    whole = SETTINGS[model].model_copy(update={"batch_size": SETTINGS[model].batch_size * size})
    alone = steps_of(model, settings=whole)
    expected, counts, names = alone.objective(next(iter(alone.batches(1))), alone.draws)
    parts = []
    for rank in range(size):
        steps = steps_of(model, DistributedContext(rank, size))
        parts.append(steps.objective(next(iter(steps.batches(1))), steps.draws))
    assert all(part[2] == names for part in parts)
    torch.testing.assert_close(sum(part[0] for part in parts), expected)
    torch.testing.assert_close(sum(part[1] for part in parts), counts)


@pytest.mark.parametrize("model", SETTINGS)
def test_an_empty_share_adds_nothing(model):
    steps = steps_of(model)
    empty = steps.samples.take(torch.zeros(0, dtype=torch.long))
    batch = steps.gatherer.sequences(empty) if steps.by_window else steps.gatherer.prefixes(empty)
    totals, counts, _ = Objective(steps.model, DistributedContext(0, 2))(batch, steps.draws)
    totals.sum().backward()
    assert totals.tolist() == [0] * len(totals)
    assert counts.min() >= 0
    for weight in steps.model.parameters():
        assert weight.grad is None or not weight.grad.any()


def test_a_batch_of_which_nothing_counts_has_a_finite_loss():
    # Samples without any history have no position to align; their mean is over nothing.
    steps = steps_of("lecdsr")
    rows = steps.samples.row[:2]
    batch = steps.gatherer.prefixes(type(steps.samples)(steps.samples.user[:2], rows, rows, rows))
    assert (batch.histories.sequence == 11).all()
    values = steps.step(batch, 0)
    assert torch.isfinite(values).all()
    assert values[steps.loss_names.index("loss_alignment")] == 0
    assert all(torch.isfinite(weight).all() for weight in steps.model.parameters())


def test_draws_do_not_depend_on_who_asks():
    whole = Draws(3).uniform(6, 4)
    for rows in (slice(0, 2), slice(2, 6), slice(3, 3)):
        draws = Draws(3)
        draws.share(rows, 6)
        assert torch.equal(draws.uniform(rows.stop - rows.start, 4), whole[rows])


def test_by_rows_only_what_a_step_touches_changes():
    steps = steps_of("lecdsr", tables="rows")
    before = {name: weight.detach().clone() for name, weight in steps.model.named_parameters()}
    batch = next(iter(steps.batches(1)))
    steps.step(batch, 0)
    touched = set(batch.histories.sequence.unique().tolist()) - {11}
    changed = (steps.model.item_embeddings.weight != before["item_embeddings.weight"]).any(dim=1)
    assert set(changed.nonzero().flatten().tolist()) == touched
    assert not torch.equal(steps.model.W2.weight, before["W2.weight"])


@pytest.mark.parametrize("model", ["lecdsr", "abxi"])
def test_a_first_step_by_rows_is_that_of_all_rows(model):
    # Adam's first step is of one size wherever there is a gradient; weight decay is off.
    settings = SETTINGS[model].model_copy(update={"weight_decay": 0.0})
    dense, rows = (steps_of(model, settings=settings, tables=tables) for tables in ("dense", "rows"))
    for steps in (dense, rows):
        steps.step(next(iter(steps.batches(1))), 0)
    for (name, weight), other in zip(dense.model.named_parameters(), rows.model.parameters(), strict=True):
        torch.testing.assert_close(other, weight, msg=lambda m, n=name: f"{n}: {m}")


def test_models_that_score_everything_refuse_rows():
    with refused("all-rows", "train.shared.tables"):
        steps_of("sasrec", tables="rows")


def test_the_learning_rate_warms_up():
    steps = steps_of("sasrec", warmup_steps=4)
    rates = []
    for number, batch in enumerate([*steps.batches(1), *steps.batches(2), *steps.batches(3)]):
        steps.step(batch, number)
        rates.append(steps.optimisers._all[0].param_groups[0]["lr"] / steps.optimisers.rate)
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0][: len(rates)]
    assert len(rates) > 4


@pytest.mark.parametrize("model", SETTINGS)
def test_bfloat16_is_close(model):
    losses = []
    for precision in ("float32", "bfloat16"):
        steps = steps_of(model, precision=precision)
        losses.append(steps.step(next(iter(steps.batches(1))), 0)[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(("min_history", "targets"), [(None, 4), (1, 8), (2, 6), (3, 4), (9, 0)])
def test_a_model_can_train_on_earlier_targets_than_the_windows_have(min_history, targets):
    """The training windows have 6 and 4 items, and targets after 3 items."""
    settings = SETTINGS["abxi"].model_copy(update={"min_history": min_history, "batch_size": 9})
    data, windows = info(), sequences(HISTORIES, 6, min_history=3)
    network = build("abxi", settings, data, 1).train()
    if not targets:
        with refused("no-targets", "sequences"):
            Steps(network, windows, data, settings, shared_settings(), CPU)
        return
    steps = Steps(network, windows, data, settings, shared_settings(), CPU)
    (batch,) = steps.batches(1)
    wanted = batch.targets != data.padding
    assert int(wanted.sum()) == sum(batch.in_domain) == targets
    first = batch.targets[(batch.targets == 8).any(dim=1)]  # of the window 0 6 1 7 2 8
    assert (first.tolist() == [[6, 1, 7, 2, 8]]) == (min_history == 1)
