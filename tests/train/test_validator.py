"""Validation keeps what training does not change, and ranks as without."""

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import VALID
from lecdsr.models.base import Recommender
from lecdsr.models.layers import profiles as layer
from lecdsr.train import validator as validation
from lecdsr.train.validator import KeptTerm, Validator, kept_bytes
from tests.models.zoo import HISTORIES, LENGTH, N_X, make, perturb
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
