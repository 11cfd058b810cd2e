"""Contracts of every model under all settings: scores, padding, causality, learning, saving."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, SequenceBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import ModelSettings, Recommender
from lecdsr.models.registry import Entry, find_model, model_names
from lecdsr.models.saved import build, save
from lecdsr.train.state import TrainingResult
from lecdsr.train.trainer import train
from tests.models import settings, zoo
from tests.models.settings import settings_for, shared_settings
from tests.models.zoo import (
    ALL,
    HISTORIES,
    N_X,
    N_Y,
    PADDING,
    TOYS,
    TRAINED,
    USERS,
    batch_of,
    config_of,
    draws,
    histories_for,
    histories_of,
    keeping,
    make,
    perturb,
    row,
    scores,
    settings_of,
    toy_settings,
    training_batch,
)
from tests.tiny import circle, info, sequences

every_model = pytest.mark.parametrize(("model", "variant"), ALL)
every_trained_model = pytest.mark.parametrize(("model", "variant"), TRAINED)


BY_WINDOW = [case for case in TRAINED if find_model(case[0]).recommender.objective == "sequence"]
CONTRACTS = {"ignores_padding", "any_length", "causal_loss", "trains_all"}


@pytest.mark.parametrize("model", model_names())
def test_what_a_model_declares_exists(model):
    contract = find_model(model).recommender.contract
    assert contract.variants
    assert set(contract.exceptions) <= CONTRACTS
    assert {name for names in contract.exceptions.values() for name in names} <= {*contract.variants, "all"}


def test_a_model_that_declares_nothing_is_tested_with_small_sizes(monkeypatch):
    class Bare(Recommender):
        pass

    class Defaults(ModelSettings):
        width: int = 64
        history_length: int = 15
        domains: Literal["both"] = "both"
        order: Literal["time"] = "time"

    for module in (zoo, settings):
        monkeypatch.setattr(module, "find_model", lambda name: Entry(Defaults, Bare))
    assert list(Bare.contract.variants) == list(Bare.contract.toys) == ["default"]
    assert zoo.keeping("any_length", [("bare", "default")]) == [("bare", "default")]
    small, toy = settings_of("bare", "default"), toy_settings("bare", "default")
    assert (small.width, small.history_length) == (8, 5)
    assert (toy.width, toy.history_length) == (32, 8)


@every_model
def test_scores_of_all_items_are_finite(model, variant):
    network = make(model, variant)
    found = scores(network, histories_for(network))
    assert found.shape == (6, N_X + N_Y)  # none for padding
    assert torch.isfinite(found).all()


@every_model
def test_queries_and_keys_of_a_two_tower_model_give_its_scores(model, variant):
    network = perturb(make(model, variant))
    if not network.is_two_tower:
        with pytest.raises(TypeError, match="keys"):
            network.keys()
        return
    keys, bias = network.keys()
    assert keys.shape[0] == N_X + N_Y
    assert bias.shape == (N_X + N_Y,)
    term, found = network.rerank_term(), scores(network, histories_for(network))
    for domain in (0, 1):
        items, histories = network.info.items_of(domain), replace(histories_for(network), domain=domain)
        queries = network.queries(histories)
        assert queries.shape == (6, keys.shape[1])
        expected = queries @ keys[items].T + bias[items]
        torch.testing.assert_close(found[:, items], expected if term is None else expected + term(histories, items))


@every_model
def test_a_slice_of_items_has_the_scores_it_has_among_all(model, variant):
    network = perturb(make(model, variant))
    histories, score = histories_for(network), network.scorer()
    whole = scores(network, histories)
    for domain, items in ((0, slice(0, N_X)), (0, slice(2, 4)), (1, slice(N_X + 1, N_X + 2)), (1, slice(N_X, N_X + 3))):
        torch.testing.assert_close(score(replace(histories, domain=domain), items), whole[:, items])


@every_model
def test_a_batch_of_one_is_a_row_of_a_batch(model, variant):
    network = perturb(make(model, variant))
    histories = histories_for(network)
    whole = scores(network, histories)
    for place in range(len(whole)):
        torch.testing.assert_close(scores(network, row(histories, place)), whole[place : place + 1])


@pytest.mark.parametrize(("model", "variant"), keeping("ignores_padding", ALL))
def test_what_padding_holds_does_not_matter(model, variant):
    network = perturb(make(model, variant))
    histories = histories_for(network)
    before = scores(network, histories)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Embedding) and module.num_embeddings == PADDING + 1:
                module.weight[PADDING] = 17
    assert torch.equal(scores(network, histories), before)


@pytest.mark.parametrize(("model", "variant"), keeping("any_length", ALL))
def test_more_padding_leaves_the_scores(model, variant):
    network = perturb(make(model, variant))
    length = network.settings.history_length
    rows = [[6, 7], [2]] if length > 1 else [[7], [2]]
    short = scores(network, batch_of(rows, [0, 1], len(rows[0])))
    torch.testing.assert_close(scores(network, batch_of(rows, [0, 1], length)), short)
    assert len(short.unique()) > 1


@every_model
def test_later_items_leave_earlier_scores(model, variant):
    network = perturb(make(model, variant))
    length = network.settings.history_length
    changed = [[*history[:3], *reversed(history[3:])] for history in HISTORIES]
    assert changed != HISTORIES
    found = []
    for walks in (HISTORIES, changed):
        built = sequences(walks, N_X, profiles=network.info.profiles)
        gatherer = Gatherer(built, length, N_X, PADDING, torch.device("cpu"))
        training = built.of_split(TRAIN)
        found.append(scores(network, gatherer.histories(training.user, training.start, training.start + 3)))
    assert torch.equal(*found)


@pytest.mark.parametrize(("model", "variant"), keeping("causal_loss", BY_WINDOW))
def test_later_items_leave_the_loss_of_earlier_positions(model, variant):
    network = perturb(make(model, variant))
    length = network.settings.history_length
    inputs = torch.tensor([[PADDING, 3, 7, 1, 9], [4, 8, 0, 6, 2]])[:, -length:]
    targets = torch.tensor([[PADDING, 7, 1, 9, 2], [8, 0, 6, 2, 10]])[:, -length:]

    def loss(sequence, kept):
        early = targets.clone()
        early[:, kept:] = PADDING
        histories = histories_of(sequence, [0, 1])
        return network.loss(SequenceBatch(histories, early), draws())[0]

    for kept in range(1, length):
        for shift in (1, 5):  # to a neighbour, and mostly to the other domain
            later, earlier = inputs.clone(), inputs.clone()
            later[:, kept:] = (inputs[:, kept:] + shift) % (N_X + N_Y)
            earlier[:, kept - 1] = (inputs[:, kept - 1] + shift) % (N_X + N_Y)
            assert torch.equal(loss(later, kept), loss(inputs, kept))
            assert not torch.equal(loss(earlier, kept), loss(inputs, kept))


# A user's next item follows from the last one: every user walks the same circle of all items.
def learn(model: str, settings: Any, walks: list[list[int]], data: DatasetInfo) -> TrainingResult:
    shared = shared_settings(seed=1, device="cpu", epochs=40, patience=40)
    network = build(model, settings, data, 1)
    built = sequences(walks, data.n_x, profiles=data.profiles)
    return train(network, built, data, settings, shared, torch.device("cpu"))


@pytest.mark.parametrize(("model", "toy"), TOYS)
def test_a_toy_is_learned_to_the_optimum(model, toy):
    n, walks = 12, circle(12)
    result = learn(model, toy_settings(model, toy), walks, info(n, n, len(walks), 16))
    assert result.best_score > 0.95
    if find_model(model).recommender.objective != "counts":
        assert result.log[0]["valid_ndcg@10"] < 0.75  # by chance: a third of each domain is history


def test_popularity_learns_a_toy_to_the_optimum():
    # Every user takes the items in one order, some go further: the next is the most popular item they lack.
    n = 6
    order = [item for place in range(n) for item in (place, n + place)]
    walks = [order[:length] for length in range(4, 2 * n + 1)]
    counts = np.bincount(np.concatenate([walk[:-2] for walk in walks]), minlength=2 * n)
    data = replace(info(n, n, len(walks)), train_counts=torch.from_numpy(counts))
    result = learn("popularity", settings_for("popularity"), walks, data)
    assert result.best_score == 1
    assert result.best_epoch == 0


def test_what_is_held_out_is_not_counted():
    # The last two items of a user are validation and test; other ones must not move a count.
    n, walks = 12, circle(12)
    changed = [[*walk[:-2], *circle(12)[place - 5][-2:]] for place, walk in enumerate(walks)]
    data = info(n, n, len(walks))
    settings = toy_settings("itemknn", "default")
    first, again = (learn("itemknn", settings, histories, data).weights for histories in (walks, changed))
    assert changed != walks
    assert all(torch.equal(first[name], again[name]) for name in first)


@every_trained_model
def test_losses_and_gradients_are_finite(model, variant):
    settings = settings_of(model, variant)
    for chosen in (None, [0]):
        network = make(model, variant).train()
        torch.manual_seed(0)
        loss, parts = network.loss(training_batch(network, settings, chosen), draws())
        loss.backward()
        assert torch.isfinite(loss)
        assert sum(parts.values()) == pytest.approx(loss.item(), rel=1e-5)
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.parametrize(("model", "variant"), keeping("trains_all", TRAINED))
def test_every_weight_learns(model, variant):
    settings = settings_of(model, variant)
    network = perturb(make(model, variant)).train()
    torch.manual_seed(0)
    loss, _ = network.loss(training_batch(network, settings), draws())
    loss.backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert idle == set()


@every_trained_model
def test_padding_gets_no_gradient(model, variant):
    settings = settings_of(model, variant)
    network = perturb(make(model, variant)).train()
    loss, _ = network.loss(training_batch(network, settings), draws())
    loss.backward()
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            assert module.weight.grad is not None, name
            assert not module.weight.grad[module.padding_idx].any(), name


@every_trained_model
def test_same_seed_same_weights(model, variant):
    first, again, other = (make(model, variant, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_trained_model
def test_frozen_vectors_are_never_trained_nor_saved(model, variant, tmp_path):
    data = info(N_X, N_Y, USERS)
    untouched = info(N_X, N_Y, USERS)
    settings = settings_of(model, variant)
    network = build(model, settings, data, 0)
    before = {name: value.clone() for name, value in network.named_buffers()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        network.loss(training_batch(network, settings), draws())[0].backward()
        optimiser.step()
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name])
    assert torch.equal(data.item_vectors, untouched.item_vectors)
    assert torch.equal(data.profiles.vectors, untouched.profiles.vectors)
    assert torch.equal(data.profiles.lists, untouched.profiles.lists)
    save(tmp_path, network, config_of(model, settings))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        fitted = set() if network.term_weights is None else {"weights.factors", "weights.recency"}
        assert set(file.keys()) == {name for name, _ in network.named_parameters()} | fitted
