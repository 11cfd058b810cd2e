"""The service recommends what `lecdsr recommend` does, whoever else asks at the same time."""

import itertools

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.serve.ann import Indexes
from lecdsr.serve.load import load_export
from lecdsr.serve.rank import Query, rank
from lecdsr.serve.server import recall
from lecdsr.serve.worker import Service
from tests.errors import refused
from tests.models import zoo
from tests.serve.exported import MODELS, write_export

NONE = np.zeros(0, np.int64)
HISTORIES = [[0, 6], [5], [10, 9, 8, 7, 6, 0, 1], [2, 2, 3]]


def queries(model):
    """All users and some anonymous ones, with every domain, size and choice about owned items in turn."""
    options = itertools.cycle(itertools.product([(0, 1), (0,), (1,)], [1, 3, 10], [True, False]))
    known = [Query(user, NONE, NONE, *next(options)) for user in range(zoo.USERS) for _ in range(18)]
    if model == "hgn":
        return known
    rows = [(np.array(items), np.arange(len(items)) * SECONDS_PER_DAY) for items in HISTORIES]
    return known + [Query(None, *row, *next(options)) for row in rows for _ in range(18)]


@pytest.mark.parametrize("domains", ["both", "own"])
@pytest.mark.parametrize("model", MODELS)
def test_as_the_recommender_recommends(tmp_path, model, domains):
    before, folder = write_export(tmp_path, model, domains)
    export, asked = load_export(folder), queries(model)
    together = rank(export, None, asked)
    for query, found in zip(asked, together, strict=True):
        user, items, times = query.user, query.items, query.times
        if user is None:
            user = before.info.anonymous_user
        else:
            items, times = before.history(user)
        assert set(found) == set(query.domains)
        for domain in query.domains:
            lines = before.recommend(user, items, times, domain, query.k, not query.exclude_owned)
            assert found[domain].items == [line.item for line in lines]
            np.testing.assert_allclose(found[domain].scores, [line.score for line in lines], rtol=1e-4, atol=1e-5)


def test_equal_scores_are_in_the_order_of_items(folder):
    export = load_export(folder)
    export.keys.zero_()
    object.__setattr__(export, "rerank", None)
    found = rank(export, None, [Query(0, NONE, NONE, (0, 1), 10, False)])[0]
    assert found[0].items == [0, 1, 2, 3, 4, 5]
    assert found[1].items == [6, 7, 8, 9, 10]


def test_who_owns_everything_gets_nothing(folder):
    everything = np.arange(11)
    found = rank(load_export(folder), None, [Query(None, everything, everything, (0, 1), 5, True)])[0]
    assert [found[domain].items for domain in (0, 1)] == [[], []]


@pytest.mark.parametrize("model", ["tandem", "lecdsr"])
def test_an_index_of_few_items_finds_them_all(tmp_path, model):
    export, asked = load_export(write_export(tmp_path, model)[1]), queries(model)
    for exact, found in zip(rank(export, None, asked), rank(export, Indexes(export), asked), strict=True):
        assert {domain: one.items for domain, one in exact.items()} == {d: one.items for d, one in found.items()}
    service = Service(export, Indexes(export))
    assert [recall(service, domain) for domain in (0, 1)] == [1.0, 1.0]


def test_recall_sees_an_index_of_other_keys(folder):
    export = load_export(folder)
    indexes = Indexes(export)
    right = indexes.search
    indexes.search = lambda domain, vectors, wanted: [items[:1] for items in right(domain, vectors, wanted)]
    assert recall(Service(export, indexes), 0) < 1


def test_a_score_that_is_no_number(folder):
    export = load_export(folder)
    export.keys[3] = torch.nan
    with refused("nan-score"):
        rank(export, None, [Query(1, NONE, NONE, (0,), 10, False)])
