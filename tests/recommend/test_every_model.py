"""Contracts of every trained model under all settings: recommend, explain, compare items, export."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.export import export
from lecdsr.recommend.user import TargetUser, target_user
from tests.errors import refused
from tests.models import zoo
from tests.recommend.built import recommender_of

HISTORY = [9, 0, 6, 1, 7, 2, 8]  # longer than models of the zoo read
ITEMS = "B000000000,B000000006,B000000001"

every_model = pytest.mark.parametrize(("model", "variant"), zoo.ALL)


def anna(items=HISTORY):
    return TargetUser("ANNA", 0, np.array(items, np.int64), np.arange(len(items), dtype=np.int64) * 86_400, None)


@every_model
def test_recommends_the_items_with_the_highest_scores_that_are_not_owned(model, variant):
    recommender, user = recommender_of(model, variant), anna()
    for domain in (0, 1):
        items = recommender.info.items_of(domain)
        scores = dict(enumerate(recommender.scores(0, user.items, user.times, domain).tolist(), items.start))
        lines = recommender.recommend(0, user.items, user.times, domain, 2)
        assert [line.score for line in lines] == [scores[line.item] for line in lines]
        free = sorted((score for item, score in scores.items() if item not in HISTORY), reverse=True)
        assert [line.score for line in lines] == free[:2]
        with_owned = recommender.recommend(0, user.items, user.times, domain, 20, include_owned=True)
        assert sorted(line.item for line in with_owned) == sorted(scores)


@every_model
def test_user_input_is_what_the_scores_depend_on(model, variant):
    """Two users with the same history have different scores only if the model declares that it reads the user."""
    recommender = recommender_of(model, variant)
    histories = zoo.batch_of([[0, 6, 1]] * 2, [0, 1], recommender.trained.history_length)
    first, second = zoo.scores(recommender.network, histories)
    assert (recommender.user_input == "none") == torch.allclose(first, second)


@every_model
def test_an_anonymous_user_is_refused_or_has_no_profile(model, variant):
    recommender = recommender_of(model, variant)
    if recommender.user_input == "embedding":
        with refused("no-anonymous"):
            target_user(recommender, None, [ITEMS], "1970-01-09")
        with refused("no-anonymous"):  # nor does any other way give the embedding of a user
            recommender.scores(recommender.info.anonymous_user, *recommender.history(0), 0)
        return
    user = target_user(recommender, None, [ITEMS], "1970-01-09")
    assert (user.reviewer, user.row, user.profile) == (None, zoo.USERS, None)
    assert bool(user.notes) == (recommender.user_input == "profile")
    scores = recommender.scores(user.row, user.items, user.times, 1)
    assert torch.isfinite(scores).all()
    # User 3 has no profile, so is scored alike; user 2 has one.
    assert torch.equal(scores, recommender.scores(3, user.items, user.times, 1))
    alike = torch.equal(scores, recommender.scores(2, user.items, user.times, 1))
    assert alike == (recommender.user_input == "none")
    assert len(recommender.recommend(user.row, user.items, user.times, 1, 3)) == 3
    assert len(explain(recommender, user, 3).contributions) == 3


def score_of(recommender, user, kept, item):
    """Score of an item of X after a part of the history; the profile and its age are those after the whole history."""
    items, times = user.items[kept], user.times[kept]
    read = recommender.reads(items, 0)
    histories = recommender.histories([user.row], [(items[read], times[read])], 0, [user.times])
    with torch.no_grad():
        return float(recommender.network.scorer()(histories, slice(item, item + 1)))


@pytest.mark.parametrize("domains", ["both", "own"])
@every_model
def test_contribution_is_the_drop_in_score(model, variant, domains):
    recommender, item = recommender_of(model, variant, domains), 4
    user = anna()
    why = explain(recommender, user, item)
    scores = recommender.scores(0, user.items, user.times, 0)
    assert why.item.score == pytest.approx(float(scores[item]))
    for place, one in enumerate(why.contributions):
        kept = np.arange(len(HISTORY)) != place
        without = score_of(recommender, user, kept, item)
        if one.drop is None:
            assert without == pytest.approx(why.item.score)  # an item that is not read changes nothing
        else:
            assert one.drop == pytest.approx(why.item.score - without, abs=1e-4)
    read = [one for one in why.contributions if one.drop is not None]
    visible = [item for item in HISTORY if recommender.trained.domains == "both" or item < 6]
    assert len(read) == min(len(visible), recommender.trained.history_length)


@every_model
def test_rank_is_the_place_in_the_recommendations(model, variant):
    recommender, user = recommender_of(model, variant), anna()
    for domain in (0, 1):
        lines = recommender.recommend(0, user.items, user.times, domain, 10)
        ranks = [explain(recommender, user, line.item).rank for line in lines]
        if len({line.score for line in lines}) == len(lines):  # itemknn scores some items the same
            assert ranks == [1.0 + place for place in range(len(lines))]
        assert explain(recommender, user, lines[0].item).among == len(lines)
    owned = explain(recommender, user, HISTORY[0])
    assert owned.owned
    assert owned.among == len(lines) + 1


@every_model
def test_parts_add_up_to_the_score_or_a_note_says_why_not(model, variant):
    recommender = recommender_of(model, variant)
    why, split = explain(recommender, anna(), 3), recommender.network.key_parts()
    assert bool(why.parts) == (split is not None)
    assert bool(why.not_split) == (split is None)
    if split is not None:
        term = recommender.network.rerank_term()
        more = {"profile"} if term is not None else set()
        if recommender.network.keys()[1].any():
            more.add(recommender.network.bias_name)
        assert set(why.parts) == set(split) | more
        assert sum(why.parts.values()) == pytest.approx(why.item.score, abs=1e-4)
        torch.testing.assert_close(sum(split.values()), recommender.network.keys()[0])


@every_model
def test_similar_items_are_sorted_and_never_the_item_itself(model, variant):
    recommender = recommender_of(model, variant)
    if recommender.network.item_similarities(2) is None:
        with refused("no-similarity"):
            similar(recommender, 2, 0, 3)
        return
    for domain in (0, 1):
        lines = similar(recommender, 2, domain, 20)
        assert 2 not in [line.item for line in lines]
        assert all((line.item >= 6) == bool(domain) for line in lines)
        assert [line.score for line in lines] == sorted((line.score for line in lines), reverse=True)
        if recommender.network.is_two_tower:
            assert len(lines) == (5, 5)[domain]
        else:
            assert all(line.score > 0 for line in lines)


@every_model
def test_exported_vectors_give_the_scores_of_a_two_tower_model(model, variant, tmp_path):
    recommender = recommender_of(model, variant)
    if not recommender.network.is_two_tower:
        with refused("no-two-towers"):
            export(recommender, {}, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    export(recommender, {}, tmp_path / "out")
    for user in range(zoo.USERS):
        for domain in (0, 1):
            expected = recommender.scores(user, *recommender.history(user), domain)
            np.testing.assert_allclose(exported_scores(tmp_path / "out", user, domain), expected, rtol=1e-4, atol=1e-5)


def exported_scores(folder, user, domain):
    """Scores of the items of a domain, computed from the exported files alone."""
    items, users = (pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("items", "users"))
    inside, key = items["domain"] == "xy"[domain], users["domain"].isin(["xy"[domain], "both"])
    (query,) = users[(users["user"] == user) & key]["vector"]
    scores = np.stack(items["vector"][inside]) @ query + items["bias"][inside]
    if (folder / "rerank-users.parquet").exists():
        texts, phrases = (pq.read_table(folder / f"rerank-{name}.parquet").to_pandas() for name in ("items", "users"))
        own = phrases[(phrases["user"] == user) & (phrases["domain"] == "xy"[domain])]["vector"]
        products = np.stack(texts["vector"][inside]) @ np.stack([0 * texts["vector"][0], *own]).T
        scores = scores + products.max(axis=1)
    return scores
