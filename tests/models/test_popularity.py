"""Popularity: counts as scores, nothing to train."""

import pytest
import torch

from lecdsr.data.info import DatasetInfo
from lecdsr.models.popularity import Settings as PopularitySettings
from tests.models.zoo import N_X, N_Y, USERS, draws, histories_for, make, scores


def test_popularity_scores_are_training_counts():
    data = DatasetInfo(N_X, N_Y, USERS, None, None, torch.arange(N_X + N_Y) ** 2)
    network = make("popularity", "counts", data=data)
    found = scores(network, histories_for(network))
    assert torch.equal(found, (torch.arange(N_X + N_Y) ** 2).float().expand(6, -1))


def test_popularity_has_nothing_to_train_and_nothing_to_set():
    assert list(make("popularity", "counts").parameters()) == []
    with pytest.raises(ValueError, match="extra"):
        PopularitySettings(width=3)
    with pytest.raises(TypeError, match="loss"):
        make("popularity", "counts").loss(None, draws())
