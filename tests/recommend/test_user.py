"""Typed histories, and the users that a model can recommend to."""

import dataclasses
import datetime

import pytest
from torch import nn

from lecdsr.models.base import Recommender
from lecdsr.recommend.explain import explain
from lecdsr.recommend.lookup import Finder
from lecdsr.recommend.user import read_history, target_user
from tests import tiny
from tests.errors import refused
from tests.models import zoo
from tests.recommend.built import TITLES, recommender_of

DAY = datetime.date(1970, 1, 11)
A, B = "B000000000", "B000000006"


@pytest.fixture
def finder():
    items = tiny.items_table(6, 5)
    return Finder(items.set_column(items.column_names.index("title"), "title", [TITLES]))


def rows(finder, *values):
    return [(row.item, row.day) for row in read_history(list(values), finder, DAY)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"{A},{B}"], [(0, 10), (6, 10)]),
        ([A, f" {B} ,"], [(0, 10), (6, 10)]),
        ([f"{A},{B}@1970-01-03"], [(6, 2), (0, 10)]),  # in time order
        (["Olive Oil, Extra Virgin, 1 l"], [(1, 10)]),  # commas of a title
        (["Olive Oil, Extra Virgin, 1 l @ 1970-01-02"], [(1, 1)]),
        (["Whisk,Tea Kettle@1970-01-02"], [(6, 1), (10, 10)]),
        (["olive oil, virgin"], [(1, 10)]),  # no title, nor is a part of it: the closest to the whole
        ([f"{A},{A}"], [(0, 10), (0, 10)]),
        (["", " , "], []),
    ],
)
def test_read_history(finder, values, expected):
    assert rows(finder, *values) == expected


@pytest.mark.parametrize("value", [f"{A}@1970-13-01", f"{A}@2014", f"{A}@1.2.2014"])
def test_days_that_are_none(finder, value):
    with refused("wrong-day"):
        rows(finder, value)


def test_unknown_item_of_a_list(finder):
    with refused("unknown-item") as caught:
        rows(finder, f"{A},B99999999X")
    assert "'B99999999X'" in caught.value.what


class Forgetful(Recommender):
    """Model with user embeddings whose author did not declare them; ``Honest`` did."""

    def __init__(self, info):
        super().__init__()
        self.info = info
        self.users = nn.Embedding(info.n_users, 4)
        self.items = nn.Embedding(info.n_items, 4)

    def queries(self, histories):
        return self.users(histories.user)

    def keys(self):
        return self.items.weight, self.items.weight.new_zeros(self.info.n_items)


class Honest(Forgetful):
    @classmethod
    def user_input(cls, settings):
        return "embedding"


class Indexing(Forgetful):
    def queries(self, histories):
        return self.users.weight[histories.user]


def with_network(network_class, **changed):
    recommender = recommender_of("sasrec", "ids")
    return dataclasses.replace(recommender, network=network_class(recommender.info), **changed)


def test_a_learned_user_embedding_is_refused_to_an_anonymous_user():
    with refused("no-anonymous", "--model") as caught:
        target_user(with_network(Honest, anonymous_models=("content", "tandem")), None, [A], None)
    assert "content, tandem" in caught.value.do
    with refused("no-anonymous", "--model") as caught:  # none is trained: those that can by default are named
        target_user(with_network(Honest), None, [A], None)
    assert "popularity" in caught.value.do
    assert "hgn" not in caught.value.do
    assert target_user(with_network(Honest), "BERT", [], None).row == 1


@pytest.mark.parametrize("network_class", [Forgetful, Indexing])
def test_a_forgotten_declaration_is_an_error_and_not_the_vector_of_user_0(network_class):
    recommender = with_network(network_class, anonymous_models=("tandem",))
    user = target_user(recommender, None, [A, B], None)
    for ask in (
        lambda: recommender.recommend(user.row, user.items, user.times, 0, 3),
        lambda: recommender.query(user.row, user.items, user.times, 0),
        lambda: recommender.contributions(user.row, user.items, user.times, 3),
        lambda: explain(recommender, user, 3),
    ):
        with refused("no-anonymous") as caught:
            ask()
        assert caught.value.where.endswith(f"{network_class.__name__}.user_input")
        assert "tandem" in caught.value.do
    known = target_user(recommender, "BERT", [], None)
    assert len(recommender.recommend(known.row, known.items, known.times, 1, 2)) == 2


def test_an_index_error_of_a_known_user_is_not_hidden():
    recommender = with_network(Forgetful)
    with pytest.raises(IndexError):
        recommender.scores(recommender.info.n_users + 1, *recommender.history(0), 0)


def test_known_and_anonymous_user():
    recommender = recommender_of("sasrec", "ids")
    anna = target_user(recommender, "ANNA", [], None)
    assert (anna.row, anna.items.tolist(), anna.profile, anna.notes) == (0, zoo.HISTORIES[0], "likes tea", ())
    other = target_user(recommender, None, [A], "1970-01-03")
    assert (other.reviewer, other.row, other.items.tolist(), other.times.tolist()) == (None, 4, [0], [2 * 86_400])


@pytest.mark.parametrize(
    ("reviewer", "history", "day", "code", "word"),
    [
        ("ANNA", [A], None, "both-given", ""),
        ("ANNA", [], "1970-01-01", "needless-day", ""),
        (None, [""], None, "empty-history", ""),
        (None, [], None, "empty-history", ""),
        (None, [A], "soon", "wrong-day", "'soon'"),
        ("STRANGER", [], None, "unknown-user", "'STRANGER'"),
    ],
)
def test_mistakes(reviewer, history, day, code, word):
    with refused(code) as caught:
        target_user(recommender_of("sasrec", "ids"), reviewer, history, day)
    assert word in caught.value.what


def test_one_domain_for_a_model_that_reads_its_own_alone():
    notes = target_user(recommender_of("sasrec", "ids", "own"), None, [A], None).notes
    assert len(notes) == 1
    assert "no history in domain y" in notes[0]
    assert target_user(recommender_of("sasrec", "ids", "own"), None, [f"{A},{B}"], None).notes == ()
    assert target_user(recommender_of("sasrec", "ids"), None, [A], None).notes == ()
