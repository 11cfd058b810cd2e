"""Weights of the terms of a score, and the recency of items."""

import math
from dataclasses import replace

import pytest
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.models.base import take_weights, weights_by_domain
from lecdsr.models.layers.terms import TermWeights, item_recency
from tests.models.zoo import N_X, N_Y, USERS, histories_for, make, perturb
from tests.tiny import info, sequences

N = N_X + N_Y
FACTORS = torch.tensor([[0.8, 1.3, 0.6, 0.4], [1.2, 0.7, 1.5, 0.0]])


def test_recency_counts_days_since_training_saw_an_item():
    """One item a day: user 0 has items 0 … 5 on days 0 … 5, of which the last two are held out."""
    training = sequences([[0, 1, 2, 3, 4, 5], [1, 6, 7, 8]], N_X).of_split(TRAIN)
    found = item_recency(training, N)
    ages = {0: 3, 1: 2, 2: 1, 3: 0, 6: 2}  # the last day of training is 3; item 1 was seen on day 1
    for item, age in ages.items():
        assert found[item] == pytest.approx(-math.log(1 + age / 30))
    assert not found[[4, 5, 7, 8, 9, 10]].any()  # held out or never seen: new


def test_recency_never_reads_held_out_interactions():
    walks = [[0, 1, 2, 3, 4, 5], [1, 6, 7, 8]]
    other = [[0, 1, 2, 3, 9, 0], [1, 6, 2, 10]]
    first, again = (item_recency(sequences(rows, N_X).of_split(TRAIN), N) for rows in (walks, other))
    assert torch.equal(first, again)


def test_without_training_windows_everything_is_new():
    training = sequences([[0, 1, 2]], N_X).of_split(TRAIN)
    assert not item_recency(training.take([]), N).any()


def test_factors_belong_to_the_domain_of_the_item():
    weights = TermWeights(("a", "b", "c", "recency"), (1, 1, 1, 0), info(N_X, N_Y, USERS))
    assert not weights.bias().any()
    weights.set(FACTORS)
    assert weights.of("b").tolist() == pytest.approx([1.3] * N_X + [0.7] * N_Y)
    assert weights.of("b", slice(N_X - 1, N_X + 1)).tolist() == pytest.approx([1.3, 0.7])
    weights.recency.copy_(torch.arange(N))
    assert weights.bias(slice(2, 4)).tolist() == pytest.approx([0.8, 1.2])


@pytest.mark.parametrize(
    "variant", ["default", "ids", "no content", "no profile", "profile untrained", "profile in the query only"]
)
def test_a_score_is_the_weighted_sum_of_its_terms(variant):
    network = perturb(make("tandem", variant))
    network.term_weights.set(FACTORS)
    assert network.term_weights.recency.any()
    for domain in (0, 1):
        items = network.info.items_of(domain)
        histories = replace(histories_for(network), domain=domain)
        terms = network.score_terms()(histories, items)
        assert terms.shape == (4, 6, items.stop - items.start)
        expected = torch.einsum("j,jbn->bn", FACTORS[domain], terms)
        torch.testing.assert_close(network.scorer()(histories, items), expected)


def test_weights_pass_from_one_model_to_another():
    one, other = perturb(make("tandem", "default")), make("tandem", "default", seed=3)
    take_weights(other, weights_by_domain(one))
    torch.testing.assert_close(other.term_weights.factors, one.term_weights.factors)
    assert weights_by_domain(make("sasrec", "text")) is None
    take_weights(make("sasrec", "text"), {})  # it has none, and nothing happens
