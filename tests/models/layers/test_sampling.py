"""The items that a sampled softmax reads, the probability of each, and its loss against a plain one."""

import math

import numpy as np
import pytest
import torch

from lecdsr.data.batch import Histories, SequenceBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.layers.losses import sampled_softmax_by_domain
from lecdsr.models.layers.sampling import (
    domain_shares,
    inclusion_log_probability,
    sample_items,
    samples_items,
)
from tests.models.settings import settings_for

N_X, N_Y, PADDING = 6, 9, 15
COUNTS = torch.tensor([5, 1, 0, 2, 1, 1, 4, 4, 0, 1, 1, 2, 3, 0, 5])


def info(counts=COUNTS):
    return DatasetInfo(N_X, N_Y, 3, None, None, counts)


def batch():
    sequence = torch.tensor([[PADDING, 0, 7, 3], [6, 6, 0, 1]])
    targets = torch.tensor([[PADDING, 7, 3, 14], [PADDING, 0, 1, 6]])
    return SequenceBatch(Histories(sequence, torch.zeros_like(sequence), torch.zeros(2), sequence), targets)


def sample(count=4, seed=0):
    return sample_items(batch(), info(), domain_shares(info()), count, Draws(seed))


def sampled_loss(queries, table, drawn):
    """The loss of queries ``[B * L, d]`` at all places; those without a target are not read."""
    rows = table[drawn.ids]
    wanted = [queries[items.targets] for items in drawn.domains]
    return sampled_softmax_by_domain(wanted, [rows[keys] for keys in drawn.keys], drawn)


def plain_loss(queries, table, drawn):
    """Term by term: the target as it is, every other item drawn over its probability."""
    total = 0.0
    targets = batch().targets.flatten()
    for items in drawn.domains:
        for place in items.targets.tolist():
            target = int(targets[place])
            denominator = torch.exp(queries[place] @ table[target])
            for item, correction in zip(items.items.tolist(), items.correction.tolist(), strict=True):
                if item != target:
                    denominator = denominator + torch.exp(queries[place] @ table[item]) * math.exp(correction)
            total = total + denominator.log() - queries[place] @ table[target]
    return total


def test_every_item_of_histories_targets_and_negatives_has_a_row():
    drawn = sample()
    assert torch.equal(drawn.ids[drawn.history], batch().histories.sequence)
    for items, rows, low, high in zip(drawn.domains, drawn.keys, (0, N_X), (N_X, N_X + N_Y), strict=True):
        assert torch.equal(drawn.ids[rows], items.items)
        assert torch.equal(items.items[items.own], batch().targets.flatten()[items.targets])
        assert ((items.items >= low) & (items.items < high)).all()
        assert items.items.unique().numel() == items.items.numel()
    assert drawn.domains[0].targets.tolist() == [2, 5, 6]  # 3, 0 and 1
    assert drawn.domains[1].targets.tolist() == [1, 3, 7]  # 7, 14 and 6


def test_shares_add_up_to_one_in_each_domain():
    shares = domain_shares(info())
    assert shares[:N_X].tolist() == [0.5, 0.1, 0, 0.2, 0.1, 0.1]
    assert shares[N_X:].sum() == pytest.approx(1)
    assert domain_shares(info(torch.zeros(15, dtype=torch.long))).sum() == 0


def test_probability_by_hand():
    shares = torch.tensor([0.0, 0.25], dtype=torch.float64)
    found = inclusion_log_probability(shares, targets=8, count=3, size=10).exp()
    assert found.tolist() == pytest.approx([1 - 0.9**3, 1 - math.exp(-2) * 0.9**3])
    assert inclusion_log_probability(shares, targets=8, count=1, size=1).exp().tolist() == pytest.approx([1, 1])


def test_probability_is_the_frequency_of_uniform_draws():
    times, seen = 4000, np.zeros(N_Y)
    draws = Draws(3)
    for _ in range(times):
        found = sample_items(
            SequenceBatch(batch().histories, torch.full_like(batch().targets, PADDING)),
            info(),
            domain_shares(info()),
            5,
            draws,
        )
        seen[found.domains[1].items.numpy() - N_X] += 1
    expected = float(inclusion_log_probability(torch.zeros(1, dtype=torch.float64), 0, 5, N_Y).exp())
    assert np.abs(seen / times - expected).max() < 4 * math.sqrt(expected * (1 - expected) / times)


def test_loss_and_gradients_are_those_of_the_plain_way():
    source, drawn = torch.Generator().manual_seed(1), sample(seed=5)
    queries = torch.randn(8, 3, generator=source, dtype=torch.float64, requires_grad=True)
    table = torch.randn(PADDING + 1, 3, generator=source, dtype=torch.float64, requires_grad=True)
    plain = plain_loss(queries, table, drawn)
    term = sampled_loss(queries, table, drawn)
    assert term.count == 6
    torch.testing.assert_close(term.total.double(), plain, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(term.total, (queries, table)), torch.autograd.grad(plain, (queries, table)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_many_negatives_give_the_full_softmax():
    source, drawn = torch.Generator().manual_seed(2), sample(count=2000)
    queries = torch.randn(8, 3, generator=source)
    table = torch.randn(PADDING + 1, 3, generator=source)
    ours = sampled_loss(queries, table, drawn).total
    scores, full = queries @ table.T, 0.0
    for place, target in enumerate(batch().targets.flatten().tolist()):
        if target != PADDING:
            inside = slice(0, N_X) if target < N_X else slice(N_X, N_X + N_Y)
            full += float(scores[place, inside].logsumexp(0) - scores[place, target])
    assert float(ours) == pytest.approx(full, rel=1e-5)


def test_repeated_items_of_a_device_that_keeps_them_count_once(monkeypatch):
    """On a GPU repeated items stay in the sample; they must not change the loss."""
    from lecdsr.models.layers import sampling

    source = torch.Generator().manual_seed(4)
    queries = torch.randn(8, 3, generator=source)
    table = torch.randn(PADDING + 1, 3, generator=source)

    def loss():
        drawn = sample(count=6, seed=7)
        term = sampled_loss(queries, table, drawn)
        return float(term.total), len(drawn.domains[0].items)

    once, few = loss()
    monkeypatch.setattr(sampling, "_ascending", sampling._with_repeats)
    again, many = loss()
    assert many > few
    assert again == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "negatives", "low_rate", "drawn"),
    [
        ("full", 2, False, False),
        ("sampled", 2, True, True),
        ("sampled", 100, False, True),
        ("sampled_then_full", 2, False, True),
        ("sampled_then_full", 2, True, False),
        ("sampled_then_full", N_X, False, False),  # the smaller domain has no more items
    ],
)
def test_items_are_drawn_where_it_is_worth_it(loss, negatives, low_rate, drawn):
    settings = settings_for("tandem", loss=loss, negatives=negatives)
    assert samples_items(settings, low_rate, info()) == drawn
