"""The service recommends what `lecdsr recommend` does, whatever else is asked at the same time."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.serve.ann import Indexes
from lecdsr.serve.load import _coarse as coarse_of
from lecdsr.serve.load import load_export
from lecdsr.serve.rank import Query, _margins, rank
from lecdsr.serve.server import recall
from lecdsr.serve.worker import Service
from tests.errors import refused
from tests.models import zoo
from tests.recommend.built import TWO_TOWERS
from tests.serve.exported import write_export

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


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("domains", ["both", "own"])
@pytest.mark.parametrize("model", TWO_TOWERS)
def test_as_the_recommender_recommends(tmp_path, model, domains, coarse):
    before, folder = write_export(tmp_path, model, domains)
    export, asked = load_export(folder, coarse), queries(model)
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


def enlarged(export, copies, spread, seed):
    """Replace the items of an export by many that differ a little, so that most scores are close together."""
    generator = torch.Generator().manual_seed(seed)
    keys = export.keys.repeat_interleave(copies, dim=0)
    keys = keys + spread * torch.randn(keys.shape, generator=generator)
    texts = export.rerank.texts.repeat_interleave(copies, dim=0)
    rerank = replace(export.rerank, texts=texts)
    info = replace(export.recommender.info, n_x=6 * copies, n_y=5 * copies)
    bias = torch.randn(len(keys), generator=generator)
    recommender = replace(export.recommender, info=info)
    return replace(export, recommender=recommender, keys=keys, bias=bias, rerank=rerank, coarse=coarse_of(keys, rerank))


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_coarse_look_first_finds_what_exact_scores_find(folder, spread, seed):
    export = enlarged(load_export(folder, coarse=True), 400, spread, seed)
    asked = [Query(user, NONE, NONE, (0, 1), k, False) for user in range(zoo.USERS) for k in (1, 10, 100)]
    for query, found in zip(asked, rank(export, None, asked), strict=True):
        for domain, items in ((0, slice(0, 2400)), (1, slice(2400, 4400))):
            scores = (
                export.bias[items].double() + export.keys[items].double() @ export.queries[domain][query.user].double()
            )
            phrases = export.rerank.of(query.user, domain).double()
            if len(phrases):
                scores += (phrases @ export.rerank.texts[items].double().T).amax(dim=0).clamp(min=0)
            order = torch.sort(scores, descending=True, stable=True).indices[: query.k]
            np.testing.assert_allclose(found[domain].scores, scores[order], rtol=1e-5, atol=1e-5)
            assert len(set(found[domain].items)) == query.k
            mine = torch.tensor(found[domain].items) - items.start
            np.testing.assert_allclose(scores[mine], scores[order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (64, 7), (16, 640)])
def test_the_error_of_a_coarse_product_is_within_its_margin(shape):
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1.0, 1e3):
        queries = scale * torch.randn(shape, generator=generator)
        keys = torch.randn(500, shape[1], generator=generator) * torch.rand(500, 1, generator=generator) ** 4
        coarse = coarse_of(keys, None)
        found = (queries.bfloat16() @ coarse.keys.T).double()
        wrong = (found - queries.double() @ keys.double().T).abs().amax(dim=1)
        assert (wrong <= _margins(coarse, queries, [None] * len(queries))).all()


def test_equal_scores_are_in_the_order_of_items(folder):
    export = load_export(folder, coarse=False)
    export.keys.zero_()
    export.bias.zero_()
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


@pytest.mark.parametrize("coarse", [False, True])
def test_a_score_that_is_no_number(folder, coarse):
    export = load_export(folder, coarse)
    export.queries[0][1] = torch.nan
    with refused("nan-score"):
        rank(export, None, [Query(1, NONE, NONE, (0,), 10, False)])
