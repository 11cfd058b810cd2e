"""Recommendations to many users at once are those to one user after the other, whatever the blocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.core.errors import UserError
from lecdsr.models.popularity import Popularity, Settings
from lecdsr.recommend.batch import Options, batch_recommender
from lecdsr.recommend.best import best_of
from tests import tiny
from tests.models import zoo
from tests.recommend.built import recommender_of

CPU = torch.device("cpu")


def batch_of(one, **options):
    """The batch recommender of a recommender of single users."""
    return batch_recommender(one.network, one.trained, one.info, one.interactions, Options(**options), CPU)


def rows_of(batch, users):
    """Rows (place of the user, domain, rank, item) and scores of all blocks."""
    blocks = list(batch.blocks(np.asarray(users)))
    columns = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return list(zip(*(column.tolist() for column in columns[:4]), strict=True)), columns[4]


def one_by_one(one, users, k, include_owned=False):
    """The same from calls for one user."""
    rows, scores = [], []
    for place, user in enumerate(users):
        for domain in (0, 1):
            lines = one.recommend(user, *one.history(user), domain, k, include_owned)
            rows += [(place, domain, rank, line.item) for rank, line in enumerate(lines, start=1)]
            scores += [line.score for line in lines]
    return rows, scores


def assert_same(found, wanted):
    """Equal rows, but for neighbours whose scores differ by rounding alone."""
    (rows, scores), (wanted_rows, wanted_scores) = found, wanted
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-4, atol=1e-5)
    assert [row[:3] for row in rows] == [row[:3] for row in wanted_rows]
    for place, (row, other) in enumerate(zip(rows, wanted_rows, strict=True)):
        if row != other:
            near = [s for at, s in enumerate(wanted_scores) if abs(at - place) == 1]
            assert np.isclose(near, wanted_scores[place], rtol=1e-4, atol=1e-5).any(), (row, other)


def popular(histories):
    """Popularity over six items of X and five of Y; counts are 0, 1, 2 …"""
    info = tiny.info(6, 5, len(histories))
    return Popularity(Settings(), info, 0), tiny.interactions(histories, 6), info


def test_by_hand():
    network, interactions, info = popular([[0, 6, 5], [10]])
    batch = batch_recommender(network, Settings(), info, interactions, Options(k=2), CPU)
    rows, scores = rows_of(batch, [1, 0])
    assert rows == [
        (0, 0, 1, 5), (0, 0, 2, 4), (0, 1, 1, 9), (0, 1, 2, 8),
        (1, 0, 1, 4), (1, 0, 2, 3), (1, 1, 1, 10), (1, 1, 2, 9),
    ]  # fmt: skip
    assert scores.tolist() == [5, 4, 9, 8, 4, 3, 10, 9]


def test_equal_scores_are_in_the_order_of_ids():
    network, interactions, info = popular([[0, 6]])
    network.counts.fill_(3.0)
    batch = batch_recommender(network, Settings(), info, interactions, Options(k=3, items_per_block=2), CPU)
    assert [row[3] for row in rows_of(batch, [0])[0]] == [1, 2, 3, 7, 8, 9]


def test_fewer_rows_where_fewer_items_are_left():
    """Everything of X owned, and nothing of Y."""
    network, interactions, info = popular([[0, 1, 2, 3, 4, 5], [7]])
    batch = batch_recommender(network, Settings(), info, interactions, Options(k=99), CPU)
    rows, _ = rows_of(batch, [0, 1])
    assert [sum(row[:2] == (user, domain) for row in rows) for user in (0, 1) for domain in (0, 1)] == [0, 5, 6, 4]


def test_one_domain_alone():
    network, interactions, info = popular([[0, 6, 5], [10]])
    batch = batch_recommender(network, Settings(), info, interactions, Options(k=1, domains=(1,)), CPU)
    assert rows_of(batch, [0, 1])[0] == [(0, 1, 1, 10), (1, 1, 1, 9)]


def test_no_user():
    network, interactions, info = popular([[0, 6, 5]])
    batch = batch_recommender(network, Settings(), info, interactions, Options(k=1), CPU)
    assert list(batch.blocks(np.empty(0, np.int64))) == []


#: Both choices of domains for every variant, and all four pairs of choices for one variant of each model.
CHOICES = [(*case, *choice) for case in zoo.ALL for choice in (("both", False), ("own", True))]
CHOICES += [(*case, *choice) for case in zoo.ONE_EACH for choice in (("both", True), ("own", False))]


@pytest.mark.parametrize(("model", "variant", "domains", "include_owned"), CHOICES)
def test_equal_to_one_user_after_the_other(model, variant, domains, include_owned):
    """The users of the zoo: histories longer than the model reads, and one of a single domain."""
    one, users = recommender_of(model, variant, domains), [0, 1, 2, 3, 2]
    for k in (3, 20):
        batch = batch_of(one, k=k, include_owned=include_owned, users_per_block=2, items_per_block=3)
        assert_same(rows_of(batch, users), one_by_one(one, users, k, include_owned))


@pytest.mark.parametrize("model", ["popularity", "itemknn", "tandem"])
def test_a_user_without_any_history(model):
    one = recommender_of(model, next(variant for name, variant in zoo.ALL if name == model))
    kept = one.interactions.filter(np.asarray(one.interactions["user"]) != 1)
    one = replace(one, interactions=kept)
    assert_same(rows_of(batch_of(one, k=4), [0, 1, 2]), one_by_one(one, [0, 1, 2], 4))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12), st.sampled_from(["popularity", "itemknn"]))
def test_any_block_sizes_give_the_same(users_per_block, items_per_block, k, model):
    """Scores of these two have no rounding, and many ties."""
    one = recommender_of(model, next(variant for name, variant in zoo.ALL if name == model))
    users = [3, 0, 1, 2]
    batch = batch_of(one, k=k, users_per_block=users_per_block, items_per_block=items_per_block)
    rows, scores = rows_of(batch, users)
    whole = rows_of(batch_of(one, k=k), users)
    assert rows == whole[0]
    np.testing.assert_allclose(scores, whole[1], rtol=1e-6)


@pytest.mark.parametrize("model", ["popularity", "itemknn", "tandem", "lecdsr"])
def test_no_tensor_of_all_users_or_of_all_items_of_a_domain_and_users(model, monkeypatch):
    """Scores come in blocks only; what a block needs is all that is held."""
    seen = []

    def recorded(scores, *rest):
        seen.append(tuple(scores.shape))
        return best_of(scores, *rest)

    monkeypatch.setattr("lecdsr.recommend.batch.best_of", recorded)
    one = recommender_of(model, next(variant for name, variant in zoo.ALL if name == model))
    rows_of(batch_of(one, k=2, users_per_block=3, items_per_block=4), [0, 1, 2, 3])
    assert seen == [(3, 4), (3, 2), (3, 4), (3, 1), (1, 4), (1, 2), (1, 4), (1, 1)]


def test_tables_of_all_items_are_built_once(monkeypatch):
    one = recommender_of("tandem", "default")
    calls = []
    original = type(one.network).table
    monkeypatch.setattr(type(one.network), "table", lambda self, *rest: calls.append(1) or original(self, *rest))
    batch = batch_of(one, k=2, users_per_block=1, items_per_block=2)
    built = len(calls)
    rows_of(batch, [0, 1, 2, 3])
    assert len(calls) == built


def test_nan_is_refused():
    one = recommender_of("sasrec", "ids")
    with torch.no_grad():
        one.network.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN"):
        rows_of(batch_of(one, k=2), [0])


def test_a_domain_without_items_is_refused():
    info = tiny.info(6, 0, 1)
    network = Popularity(Settings(), info, 0)
    with pytest.raises(UserError, match="domain y"):
        batch_recommender(network, Settings(), info, tiny.interactions([[0]], 6), Options(k=1), CPU)
    batch = batch_recommender(network, Settings(), info, tiny.interactions([[0]], 6), Options(k=1, domains=(0,)), CPU)
    assert rows_of(batch, [0])[0] == [(0, 0, 1, 5)]
