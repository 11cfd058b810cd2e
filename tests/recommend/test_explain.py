"""Score parts and similarities of single models, and requests that cannot be answered."""

import pytest
import torch

from lecdsr.recommend.explain import explain, similar
from tests.errors import refused
from tests.models import zoo
from tests.recommend.built import recommender_of
from tests.recommend.test_every_model import anna


@pytest.mark.parametrize(
    ("model", "variant"), [case for case in zoo.ALL if case[0] in ("sasrec", "tandem", "lecdsr", "content")]
)
def test_models_with_text_on_the_side_of_items_are_split(model, variant):
    network = zoo.make(model, variant)
    assert (network.key_parts() is not None) == (getattr(network, "text_projection", None) is not None)


@pytest.mark.parametrize(("model", "variant"), [("sasrec", "text"), ("tandem", "default"), ("tandem", "no content")])
def test_without_ids_the_text_is_all_there_is(model, variant):
    network = zoo.perturb(zoo.make(model, variant))
    with torch.no_grad():
        network.item_embeddings.weight.zero_()
    parts = network.key_parts()
    assert not parts["id"].any()
    torch.testing.assert_close(parts["text"], network.keys()[0])


@pytest.mark.parametrize(
    ("model", "variant", "word"),
    [
        ("popularity", "counts", "counts"),
        ("content", "whitened", "texts only"),
        ("sasrec", "ids", "ids only"),
        ("lecdsr", "ids only", "ids only"),
        ("lecdsr", "masked", "profile"),
    ],
)
def test_a_note_says_why_a_score_is_not_split(model, variant, word):
    assert word in zoo.make(model, variant).score_note()


def test_similarity_is_the_cosine_of_keys():
    network = zoo.perturb(zoo.make("tandem", "default"))
    keys = network.keys()[0].detach()
    expected = torch.nn.functional.cosine_similarity(keys, keys[2:3])
    torch.testing.assert_close(network.item_similarities(2), expected)


def test_similarity_of_abxi_crosses_domains():
    network = zoo.perturb(zoo.make("abxi", "ids"))
    table = network.item_embeddings.weight.detach()[:11]
    expected = torch.nn.functional.cosine_similarity(table, table[2:3])
    torch.testing.assert_close(network.item_similarities(2), expected)


def test_similarity_of_itemknn_is_the_one_it_counted():
    network = zoo.make("itemknn", "all neighbours")
    after = zoo.scores(network, zoo.batch_of([[2]], [0], network.settings.history_length))[0]
    torch.testing.assert_close(network.item_similarities(2), after)


def test_keys_of_a_single_number_have_no_direction():
    assert zoo.make("popularity", "counts").item_directions() is None


def test_similar_to_an_item_about_which_nothing_is_known():
    recommender = recommender_of("tandem", "ids")  # item 0 has no training interactions, so its id has no weight
    with refused("unknown-vector") as caught:
        similar(recommender, 0, 1, 3)
    assert "B000000000" in caught.value.what


def test_nan_is_refused_in_words():
    recommender = recommender_of("sasrec", "ids")
    with torch.no_grad():
        recommender.network.item_embeddings.weight.fill_(float("nan"))
    with refused("nan-score"):
        explain(recommender, anna(), 3)


def test_empty_history():
    why = explain(recommender_of("tandem", "default"), anna([]), 3)
    assert why.contributions == []
    assert why.among == 6
