"""Recommendations for one user: excluded items, history that is read, unknown users."""

import numpy as np
import pyarrow as pa
import pytest

from lecdsr.core.schemas import USERS
from lecdsr.models.popularity import Popularity, Settings
from lecdsr.models.sasrec import SASRec
from lecdsr.recommend.recommender import PairRecommender
from tests import tiny
from tests.errors import refused
from tests.models.settings import sasrec_settings

N_X, N_Y = 6, 5


def recommender(network, trained, histories=((0, 6, 5), (10,), ())):
    histories = [list(history) for history in histories]
    users = pa.table(
        {"user": np.arange(3), "reviewer": ["ANNA", "BERT", "CARL"], "n_x": [2, 0, 0], "n_y": [1, 1, 0]}
    ).cast(USERS)
    return PairRecommender(
        items=tiny.items_table(N_X, N_Y),
        users=users,
        interactions=tiny.interactions(histories, N_X),
        profiles={0: "likes tea"},
        info=network.info,
        network=network.eval(),
        trained=trained,
    )


@pytest.fixture
def popular():
    return recommender(Popularity(Settings(), tiny.info(N_X, N_Y), 0), Settings())


def test_best_first_without_what_is_owned(popular):
    items, times = popular.history(0)
    assert items.tolist() == [0, 6, 5]
    # Training counts are 0, 1, 2 …, so the highest id of a domain is the most popular.
    assert [line.item for line in popular.recommend(0, items, times, 0, 10)] == [4, 3, 2, 1]
    assert [line.item for line in popular.recommend(0, items, times, 1, 2)] == [10, 9]
    assert [line.score for line in popular.recommend(0, items, times, 1, 2)] == [10.0, 9.0]
    assert popular.line(6, int(times[1]))[1:4] == ("y", "B000000006", "title 6")
    assert popular.line(6, int(times[1])).when == "1970-01-02"


def test_empty_history(popular):
    items, times = popular.history(2)
    assert len(items) == 0
    assert [line.item for line in popular.recommend(2, items, times, 0, 1)] == [5]


def test_everything_owned(popular):
    assert popular.recommend(0, np.arange(N_X + N_Y), np.zeros(N_X + N_Y, np.int64), 0, 3) == []


@pytest.mark.parametrize("domains", ["both", "own"])
def test_model_reads_the_domains_it_was_trained_on(domains):
    settings = sasrec_settings(width=8, history_length=4, domains=domains)
    network = SASRec(settings, tiny.info(N_X, N_Y), 0)
    one = recommender(network, settings)
    mixed = one.recommend(0, np.array([0, 6, 5]), np.array([0, 1, 2]), 0, 3)
    alone = one.recommend(0, np.array([0, 5]), np.array([0, 2]), 0, 3)
    same = [line.score for line in mixed] == [line.score for line in alone]
    assert same == (domains == "own")


def test_unknown_user_gets_a_suggestion(popular):
    assert popular.user_id("BERT") == 1
    with refused("unknown-user", "--user") as error:
        popular.user_id("BERD")
    assert all(name in error.value.what for name in ("'BERD'", "'BERT'"))
