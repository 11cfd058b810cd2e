"""Validation keeps what training does not change, and ranks as without."""

from itertools import combinations

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import VALID
from lecdsr.data.batch import Gatherer
from lecdsr.models.base import Recommender
from lecdsr.models.layers import profiles as layer
from lecdsr.train import validator as validation
from lecdsr.train.validator import SCORE, KeptTerm, Validator, kept_bytes, ranked_among
from tests.models.zoo import HISTORIES, LENGTH, N_X, PADDING, make, perturb
from tests.tiny import sequences

CPU = torch.device("cpu")


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Number of histories for which a rerank term is computed, one entry for each batch."""
    counts: list[int] = []
    right = layer.largest_similarity

    def counted(lists, asked, texts):
        counts.append(len(asked.profile))
        return right(lists, asked, texts)

    monkeypatch.setattr(layer, "largest_similarity", counted)
    return counts


def validator_of(network: Recommender) -> Validator:
    valid = sequences(HISTORIES, N_X, profiles=network.info.profiles).of_split(VALID)
    return Validator(network, valid, network.info, LENGTH, CPU)


@pytest.mark.parametrize(("most", "rest"), [(1000, 0), (40, 3), (0, 4)])  # a target takes 20 or 24 bytes
def test_the_rerank_term_is_computed_once_as_far_as_it_is_kept(monkeypatch, computed, most, rest):
    monkeypatch.setattr(validation, "KEPT_TERM", most)
    monkeypatch.setattr(validation, "VALIDATION_BATCH", 1)
    network = perturb(make("tandem", "default"))
    validator = validator_of(network)
    first = validator._rank()
    assert len(computed) == len(validator) == 4
    np.testing.assert_array_equal(validator._rank(), first)
    assert len(computed) == 4 + rest
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight += torch.randn_like(weight)
    changed = validator._rank()
    np.testing.assert_array_equal(changed, validator_of(network)._rank())
    assert (changed != first).any()


def test_the_size_of_what_is_kept(monkeypatch):
    network = perturb(make("tandem", "default"))
    validator = validator_of(network)
    size = kept_bytes(network, network.info, validator._valid, CPU)
    kept = KeptTerm(size)
    monkeypatch.setattr(validator, "_kept", kept)
    validator._rank()
    assert kept._left == 0
    assert size == sum(part.nbytes for part in kept._parts.values())
    assert kept_bytes(make("sasrec", "ids"), network.info, validator._valid, CPU) == 0
    assert kept_bytes(network, network.info, validator._valid, torch.device("cuda")) == 0


def unseen(user: int, target: int) -> list[int]:
    """Items of the target's domain that the user does not have before the validation target."""
    had = HISTORIES[user][:-2]
    return [item for item in range(PADDING) if (item < N_X) == (target < N_X) and item not in had and item != target]


def test_items_that_a_target_is_ranked_among():
    network = make("abxi", "ids")
    valid = sequences([*HISTORIES[:3], [6, 0, 6, 10, 7, 5, 2]], N_X).of_split(VALID)
    # The last user had 6 and 10 of the five items of Y, 6 twice, before target 5 of X, and 0 of the six items of X.
    expected = [len(unseen(user, target)) for user, target in enumerate(valid.target[:3])]
    assert ranked_among(valid, network.info).tolist() == [*expected, 4]


def test_the_best_epoch_can_be_chosen_by_the_sampled_mrr(monkeypatch):
    monkeypatch.setattr(validation, "NEGATIVES", 2)
    network = perturb(make("abxi", "ids"))
    valid = sequences(HISTORIES, N_X).of_split(VALID)
    validator = Validator(network, valid, network.info, LENGTH, CPU, stop_by="sampled_mrr")
    assert validator.column == "valid_sampled_mrr"
    gatherer = Gatherer(valid, LENGTH, N_X, PADDING, CPU)
    histories = gatherer.histories(valid.user, valid.start, valid.end - 1)
    with torch.no_grad():
        scores = network.scorer()(histories, slice(0, PADDING))
    found = {False: [], True: []}
    for row, user, target in zip(scores, valid.user, valid.target, strict=True):
        better = [item for item in unseen(user, target) if row[item] > row[target]]
        samples = list(combinations(unseen(user, target), 2))
        rank = [1 + sum(item in better for item in sample) for sample in samples]
        found[bool(target >= N_X)].append(np.mean(1 / np.array(rank)))
    evaluated = validator.evaluate()
    assert evaluated[validator.column] == pytest.approx(np.mean([np.mean(part) for part in found.values() if part]))
    assert {SCORE: evaluated[SCORE]}.items() <= validator_of(network).evaluate().items()
    assert validator_of(network).column == SCORE
