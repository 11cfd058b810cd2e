"""Contributions, parts and likeness against what they mean."""

import numpy as np
import pytest
import torch

from lecdsr.core.errors import UserError
from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.parts import has_towers, key_parts, likeness
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.recommend.user import Person
from tests import tiny
from tests.models import zoo

HISTORY = [9, 0, 6, 1, 7, 2, 8]  # longer than models of the zoo read


def shop_of(model, variant, domains="both"):
    settings = zoo.settings_of(model, variant)
    if model != "popularity":
        settings = settings.model_copy(update={"domains": domains})
    network = zoo.perturb(zoo.make(model, variant))
    users = tiny.pa.table({"user": [0], "reviewer": ["ANNA"], "n_x": [0], "n_y": [0]})
    return PairRecommender(
        tiny.items_table(6, 5), users, tiny.interactions([HISTORY], 6), {}, network.info, network, settings
    )


def anna(items=HISTORY):
    return Person("ANNA", 0, np.array(items, np.int64), np.arange(len(items), dtype=np.int64) * 86_400, None)


@pytest.mark.parametrize("domains", ["both", "own"])
@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_contribution_is_the_score_lost(model, variant, domains):
    recommender, item = shop_of(model, variant, domains), 4
    person = anna()
    why = explain(recommender, person, item)
    scores = recommender.scores(0, person.items, person.times, 0)
    assert why.item.score == pytest.approx(float(scores[item]))
    for place, reason in enumerate(why.reasons):
        kept = np.arange(len(HISTORY)) != place
        without = float(recommender.scores(0, person.items[kept], person.times[kept], 0)[item])
        if reason.contribution is None:
            assert without == pytest.approx(why.item.score)  # what is not read brings nothing
        else:
            assert reason.contribution == pytest.approx(why.item.score - without, abs=1e-4)
    read = [reason for reason in why.reasons if reason.contribution is not None]
    visible = [item for item in HISTORY if domains == "both" or model == "popularity" or item < 6]
    assert len(read) == min(len(visible), recommender.trained.history_length)


@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_rank_is_the_place_in_the_recommendations(model, variant):
    recommender, person = shop_of(model, variant), anna()
    for domain in (0, 1):
        lines = recommender.recommend(0, person.items, person.times, domain, 10)
        ranks = [explain(recommender, person, line.item).rank for line in lines]
        if len({line.score for line in lines}) == len(lines):  # itemknn scores some items the same
            assert ranks == [1.0 + place for place in range(len(lines))]
        assert explain(recommender, person, lines[0].item).among == len(lines)
    owned = explain(recommender, person, HISTORY[0])
    assert owned.owned
    assert owned.among == len(lines) + 1


@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_parts_add_up(model, variant):
    recommender, person = shop_of(model, variant), anna()
    why = explain(recommender, person, 3)
    # Every model with a projection of text on the item's side is split, and no other.
    assert bool(why.parts) == (getattr(recommender.network, "text_projection", None) is not None)
    if not why.parts:
        assert why.whole
        assert key_parts(recommender.network) is None
        return
    assert sum(why.parts.values()) == pytest.approx(why.item.score, abs=1e-4)
    keys = recommender.network.keys()[0].detach()
    torch.testing.assert_close(sum(key_parts(recommender.network).values()), keys)
    with torch.no_grad():  # without ids the text is all there is
        recommender.network.item_embeddings.weight.zero_()
    assert not key_parts(recommender.network)["id"].any()


def test_likeness_is_the_cosine_of_keys():
    network = zoo.perturb(zoo.make("tandem", "default"))
    keys = network.keys()[0].detach()
    expected = torch.nn.functional.cosine_similarity(keys, keys[2:3])
    torch.testing.assert_close(likeness(network, 2), expected)


def test_likeness_of_abxi_crosses_domains():
    network = zoo.perturb(zoo.make("abxi", "ids"))
    table = network.item_embeddings.weight.detach()[:11]
    expected = torch.nn.functional.cosine_similarity(table, table[2:3])
    torch.testing.assert_close(likeness(network, 2), expected)


def test_likeness_of_itemknn_is_what_it_counted():
    network = zoo.make("itemknn", "all neighbours")
    after = zoo.scores(network, zoo.batch_of([[2]], [0], network.settings.history_length))[0]
    torch.testing.assert_close(likeness(network, 2), after)


@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_similar(model, variant):
    recommender = shop_of(model, variant)
    if model == "popularity":
        with pytest.raises(UserError, match="does not compare items"):
            similar(recommender, 2, 0, 3)
        return
    for domain in (0, 1):
        lines = similar(recommender, 2, domain, 20)
        assert 2 not in [line.item for line in lines]
        assert all((line.item >= 6) == bool(domain) for line in lines)
        assert [line.score for line in lines] == sorted((line.score for line in lines), reverse=True)
        if has_towers(recommender.network):
            assert len(lines) == (5, 5)[domain]
        else:
            assert all(line.score > 0 for line in lines)


def test_similar_to_an_item_of_which_nothing_is_known():
    recommender = shop_of("tandem", "ids")  # item 0 has no training interactions, so that its id counts for nothing
    with pytest.raises(UserError, match="knows nothing of B000000000"):
        similar(recommender, 0, 1, 3)


def test_nan_is_refused_in_words():
    recommender = shop_of("sasrec", "ids")
    with torch.no_grad():
        recommender.network.item_embeddings.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN"):
        explain(recommender, anna(), 3)


def test_empty_history():
    why = explain(shop_of("tandem", "default"), anna([]), 3)
    assert why.reasons == []
    assert why.among == 6
