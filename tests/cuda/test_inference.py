"""Recommending, explaining and exporting on a GPU give what they give on the CPU; tables are computed once."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.export import export
from lecdsr.recommend.user import target_user
from tests.cuda.pretended import CUDA
from tests.cuda.runs import CPU, ranked
from tests.models import zoo
from tests.recommend.built import USER_IDS, recommender_of

MODELS = [pytest.param(*case, marks=() if case in zoo.ONE_EACH else pytest.mark.slow) for case in zoo.ALL]


def on(device, model, variant):
    one = recommender_of(model, variant)
    return dataclasses.replace(one, network=one.network.to(device), device=device)


def answers(recommender):
    """Scores of recommendations, an explanation and similar items."""
    user = target_user(recommender, USER_IDS[0], [], None)
    lines = [recommender.recommend(user.row, user.items, user.times, domain, 3) for domain in (0, 1)]
    why = explain(recommender, user, 3)
    drops = [part.drop for part in why.contributions if part.drop is not None]
    numbers = [line.score for some in lines for line in some] + [why.item.score, why.rank, *why.parts.values(), *drops]
    if recommender.network.item_similarities(7) is not None:
        numbers += [line.score for line in similar(recommender, 7, 1, 2)]
    return [line.item for some in lines for line in some], numbers


@pytest.mark.parametrize(("model", "variant"), MODELS)
def test_a_gpu_answers_as_the_cpu(cuda, tmp_path, model, variant):
    here, there = on(CUDA, model, variant), on(CPU, model, variant)
    (items, numbers), (wanted, expected) = answers(here), answers(there)
    assert items == wanted
    np.testing.assert_allclose(numbers, expected, rtol=1e-4, atol=1e-5)
    if here.network.is_two_tower:
        for one, name in ((here, "gpu"), (there, "cpu")):
            export(one, {}, tmp_path / name)
        reranks = here.network.rerank_term() is not None
        for table in ("items", "users", "rerank-items", "rerank-users")[: 4 if reranks else 2]:
            vectors = [
                np.stack(pq.read_table(tmp_path / name / f"{table}.parquet")["vector"].to_pylist())
                for name in ("gpu", "cpu")
            ]
            np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "variant"), [("tandem", "default"), ("sasrec", "text"), ("lecdsr", "masked")])
def test_ranking_computes_the_item_table_twice_whatever_the_targets(monkeypatch, model, variant):
    network = zoo.perturb(zoo.make(model, variant))
    plain = ranked(network, CPU)
    calls = []
    projection = network.adapter_text if model == "lecdsr" else network.text_projection
    # Calls for all items, and not for the few phrases of a batch.
    projection.register_forward_hook(lambda _, given, __: calls.extend([1] * (len(given[0]) >= zoo.PADDING)))
    again = ranked(network, CPU)
    assert len(calls) <= 2  # once for the keys and once for the queries
    assert np.array_equal(plain.full, again.full)


@pytest.mark.parametrize(("model", "variant"), zoo.ALL)
def test_the_query_encoder_gives_the_queries(model, variant):
    network = zoo.perturb(zoo.make(model, variant))
    if not network.is_two_tower:
        return
    histories = dataclasses.replace(zoo.histories_for(network), domain=1)
    assert network.query_encoder()(histories).equal(network.queries(histories))
