"""Histories that are typed in, and whom a model can serve."""

import datetime

import pytest
import torch

from lecdsr.core.errors import UserError
from lecdsr.recommend.lookup import Finder
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.recommend.user import needs_user, person_of, read_history, seat
from tests import tiny
from tests.models import zoo
from tests.recommend.built import TITLES, USER_IDS

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
    with pytest.raises(UserError, match="is not a day"):
        rows(finder, value)


def test_unknown_item_of_a_list(finder):
    with pytest.raises(UserError, match="there is no item 'B99999999X'"):
        rows(finder, f"{A},B99999999X")


@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_seat(model, variant):
    """A model that answers differently for two users of one history is refused, or given nobody's profile."""
    network = zoo.perturb(zoo.make(model, variant))
    settings = zoo.settings_of(model, variant)
    both = zoo.batch_of([[0, 6, 1]] * 2, [0, 1], settings.history_length)
    scores = zoo.scores(network, both)
    reads_user = not torch.allclose(scores[0], scores[1])
    if needs_user(settings):
        assert reads_user
        with pytest.raises(UserError, match="none for a visitor"):
            seat(network, settings)
        return
    user, note = seat(network, settings)
    assert bool(note) == reads_user
    assert seat(network, settings) == (user, note)  # a second visitor takes the same seat
    zoo.scores(network, zoo.batch_of([[0, 6, 1], []], [user, user], settings.history_length))
    again = zoo.scores(network, both)
    torch.testing.assert_close(again, scores, rtol=0, atol=0)  # nothing changed for those who are known


def shop_of(model, variant="ids", **changed):
    settings = zoo.settings_of(model, variant).model_copy(update=changed)
    users = {"user": range(4), "reviewer": USER_IDS, "n_x": [0] * 4, "n_y": [0] * 4}
    return PairRecommender(
        items=tiny.items_table(6, 5),
        users=tiny.pa.table({name: list(column) for name, column in users.items()}),
        interactions=tiny.interactions(zoo.HISTORIES, 6),
        profiles={0: "likes tea"},
        info=tiny.info(6, 5),
        network=zoo.make(model, variant),
        trained=settings,
    )


def test_known_and_visitor():
    recommender = shop_of("sasrec")
    anna = person_of(recommender, "ANNA", [], None)
    assert (anna.user, anna.items.tolist(), anna.profile, anna.notes) == (0, zoo.HISTORIES[0], "likes tea", ())
    somebody = person_of(recommender, None, [A], "1970-01-03")
    assert (somebody.reviewer, somebody.items.tolist(), somebody.times.tolist()) == (None, [0], [2 * 86_400])


@pytest.mark.parametrize(
    ("reviewer", "history", "day", "message"),
    [
        ("ANNA", [A], None, "two people"),
        ("ANNA", [], "1970-01-01", "--day is the day of a --history"),
        (None, [""], None, "the history is empty"),
        (None, [], None, "the history is empty"),
        (None, [A], "soon", "'soon' is not a day"),
        ("NOBODY", [], None, "there is no user 'NOBODY'"),
    ],
)
def test_mistakes(reviewer, history, day, message):
    with pytest.raises(UserError, match=message):
        person_of(shop_of("sasrec"), reviewer, history, day)


def test_one_domain_for_a_model_that_reads_its_own_alone():
    notes = person_of(shop_of("sasrec", domains="own"), None, [A], None).notes
    assert len(notes) == 1
    assert "none of domain y" in notes[0]
    assert person_of(shop_of("sasrec", domains="own"), None, [f"{A},{B}"], None).notes == ()
    assert person_of(shop_of("sasrec"), None, [A], None).notes == ()
