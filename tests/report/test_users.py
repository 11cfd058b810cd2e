"""Data of the user browser: the model's own order before the true next item, and explanations."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lecdsr.data.batch import Histories, recency
from lecdsr.models.itemknn import ItemKNN
from lecdsr.models.itemknn import Settings as KNN
from lecdsr.models.popularity import Popularity, Settings
from lecdsr.models.sasrec import SASRec
from lecdsr.report.users import Moment, Wanted, _histories, browse, moments, spread
from tests import tiny
from tests.models.settings import sasrec_settings
from tests.report.small import HISTORIES, N_X, N_Y, RANKS, TARGETS, WANTED, WINDOWS, recommender


def shown(one=None, wanted=WANTED):
    """Return the browser's data with item ids in place of positions."""
    data = browse(one or recommender(), WINDOWS, RANKS, wanted)
    return data["users"], [int(title.split()[1]) for _, _, title, _ in data["items"]]


def test_history_next_item_and_its_rank():
    users, item = shown()
    anna, bert, carl, dora = users
    assert [user["reviewer"] for user in users] == ["ANNA", "BERT", "CARL", "DORA"]
    assert [(item[one], day) for one, day in anna["history"]] == [(0, 0), (6, 1), (1, 2), (7, 3)]
    assert (item[anna["next"][0]], anna["next"][1], anna["rank"]) == (2, 4, 3.0)
    assert (anna["profile"], carl["profile"]) == ("likes tea", "")
    assert bert["rank"] == 7.5
    # No test target: recommendations follow the whole history.
    assert "next" not in carl
    assert [item[one] for one, _ in carl["history"]] == [5, 10]
    assert dora["history"] == []


@pytest.mark.parametrize("domains", ["both", "own"])
def test_recommendations_are_the_models_own(domains):
    settings = sasrec_settings(width=8, history_length=4, domains=domains)
    one = recommender(settings=settings)
    users, item = shown(one, WANTED._replace(top_k=3))
    for place, domain in ((0, 0), (0, 1), (1, 0), (1, 1), (3, 0)):
        had = HISTORIES[place][:-1]  # the last one is the next item; of no history nothing is left
        read = [(i, day) for day, i in enumerate(had) if domains == "both" or (i >= N_X) == bool(domain)][-4:]
        sequence = torch.full((1, 4), N_X + N_Y)
        day = torch.zeros(1, 4, dtype=torch.long)
        if read:
            sequence[0, -len(read) :], day[0, -len(read) :] = torch.tensor(read).T
        histories = Histories(sequence, recency(sequence, N_X, N_X + N_Y), torch.tensor([place]), day)
        here = one.info.items_of(domain)
        with torch.no_grad():
            scores = one.network.scorer()(histories, here)[0].tolist()
        expected = sorted(
            (i for i in range(here.start, here.stop) if i not in had), key=lambda i: -scores[i - here.start]
        )
        expected = expected[:3]
        found = users[place]["recommended"][domain]
        assert [item[rec["item"]] for rec in found] == expected
        assert [rec["score"] for rec in found] == pytest.approx([scores[i - here.start] for i in expected], rel=1e-3)


def test_the_nearest_items_are_those_that_the_model_read():
    settings = sasrec_settings(width=8, history_length=2)
    one = recommender(settings=settings)
    users, item = shown(one, Wanted(1, 3, 5))
    unit = F.normalize(one.network.keys()[0].detach(), dim=1)
    for rec in users[0]["recommended"][1]:
        # Of 0, 6, 1, 7 the model reads the last two.
        cosines = {place: float(unit[item[rec["item"]]] @ unit[had]) for place, had in ((2, 1), (3, 7))}
        expected = sorted(cosines, key=lambda place: -cosines[place])
        assert [place for place, _ in rec["near"]] == expected
        assert [cosine for _, cosine in rec["near"]] == pytest.approx([cosines[p] for p in expected], abs=0.006)


def test_an_item_had_again_can_be_the_next_one():
    """With `repeats: all` the next item may be in the history, which is excluded from recommendations."""
    users, item = shown(wanted=Wanted(1, 20, 0))
    had = {one for one, _ in users[0]["history"]}
    for domain, size in ((0, N_X - 2), (1, N_Y - 2)):
        found = [rec["item"] for rec in users[0]["recommended"][domain]]
        assert len(found) == size
        assert not set(found) & had
        assert all("near" not in rec for rec in users[0]["recommended"][domain])
    assert item[users[0]["next"][0]] == 2


@pytest.mark.parametrize(("model", "settings"), [
    (Popularity, Settings()),
    (ItemKNN, KNN(history_length=3, domains="both", order="time", neighbours=3, shrinkage=0.0, decay=1.0)),
])  # fmt: skip
def test_models_without_a_direction_have_no_nearest_items(model, settings):
    one = recommender(model(settings, tiny.info(N_X, N_Y), 0), settings)
    users, _ = shown(one)
    assert users[0]["recommended"][0]
    assert all("near" not in rec for user in users for domain in user["recommended"] for rec in domain)


def test_parts_of_the_score_where_a_model_splits_it():
    settings = sasrec_settings(width=8, history_length=4, item_text="vectors")
    one = recommender(SASRec(settings, tiny.info(N_X, N_Y), 0), settings)
    for user in shown(one)[0]:
        for rec in (rec for domain in user["recommended"] for rec in domain):
            assert set(rec["parts"]) == {"id", "text"}
            assert sum(rec["parts"].values()) == pytest.approx(rec["score"], abs=2e-3)
    assert all("parts" not in rec for rec in shown()[0][0]["recommended"][0])


def test_users_with_a_test_target_come_first():
    table = tiny.interactions(HISTORIES, N_X)
    assert [one.user for one in moments(table, WINDOWS, 4, 2)] == [0, 1]
    assert [one.user for one in moments(table, WINDOWS, 4, 3)] == [0, 1, 2]
    assert moments(table, WINDOWS, 4, 0) == []
    assert len(moments(table, WINDOWS, 4, 99)) == 4


def test_of_several_test_windows_the_last():
    table = tiny.interactions(HISTORIES, N_X)
    windows = tiny.windows_table([TARGETS[0], (2, 0, 0, 2, 3)])
    (one,) = moments(table, windows, 4, 1)
    assert (one.next, one.shown, one.read) == (4, (0, 4), (0, 4))


def test_a_profile_that_may_have_seen_the_next_item_is_not_read():
    """The last item of the history and the next one have one time, that of the second version."""
    table = tiny.interactions([[0, 6, 1]], N_X, [[0, 3, 3]])
    one = dataclasses.replace(recommender(), interactions=table)
    batch = [Moment(0, (0, 2), (0, 2), 2), Moment(0, (0, 3), (0, 3), None)]
    profile = _histories(one, batch, 0).profile
    assert profile.row.tolist() == [[0], [1]]
    assert profile.age.tolist() == [[1], [0]]


def test_spread():
    assert spread(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert spread(np.arange(3), 5).tolist() == [0, 1, 2]
    assert spread(np.arange(3), 0).tolist() == []
    assert len(set(spread(np.arange(1200), 400).tolist())) == 400
