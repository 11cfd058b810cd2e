"""What every model must do, whatever its settings: its scores, padding, the future, learning, saving."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, SequenceBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.models.registry import find_model, model_names
from lecdsr.models.saved import build, save
from lecdsr.train.state import TrainingResult
from lecdsr.train.trainer import train
from tests.models.settings import settings_for, shared_settings
from tests.models.zoo import (
    ALL,
    HISTORIES,
    N_X,
    N_Y,
    PADDING,
    TRAINED,
    USERS,
    batch_of,
    config_of,
    draws,
    histories_for,
    histories_of,
    make,
    perturb,
    row,
    scores,
    settings_of,
    training_batch,
)
from tests.tiny import circle, info, sequences

every_model = pytest.mark.parametrize(("model", "variant"), ALL)
every_trained_model = pytest.mark.parametrize(("model", "variant"), TRAINED)


# The unmasked arithmetic of the published code is kept on purpose, and with it what its padding does.
MASKED = [case for case in ALL if case[0] != "lecdsr" or settings_of(*case).mask_padding]
TOWERS = [case for case in ALL if case[0] != "itemknn"]
# The convolution of the published model is over a layout of fixed length.
ANY_LAYOUT = [case for case in ALL if case[0] != "lecdsr"]
# Where every history has one item: the instance gate weighs nothing, attention has no choice.
IDLE = [("lecdsr", "length 1")]
BY_WINDOW = [case for case in TRAINED if case[0] in ("tandem", "sasrec", "abxi")]
# A negative is none of the whole sequence, so later items decide which ones an earlier position is compared with.
BY_WHOLE_SEQUENCE = [("abxi", "sampled softmax")]


def test_the_zoo_holds_every_registered_model():
    assert {model for model, _ in ALL} == set(model_names())
    assert {model for model, _ in BY_WINDOW} == {
        name for name in model_names() if find_model(name).recommender.objective == "sequence"
    }


@every_model
def test_scores_of_all_items_are_finite(model, variant):
    network = make(model, variant)
    found = scores(network, histories_for(network))
    assert found.shape == (6, N_X + N_Y)  # none for padding
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(("model", "variant"), TOWERS)
def test_towers_have_the_shapes_that_ranking_wants(model, variant):
    network = perturb(make(model, variant))
    keys, bias = network.keys()
    queries = network.queries(histories_for(network))
    assert queries.shape == (6, keys.shape[1])
    assert keys.shape[0] == N_X + N_Y
    assert bias.shape == (N_X + N_Y,)
    torch.testing.assert_close(scores(network, histories_for(network)), queries @ keys.T + bias)


@every_model
def test_a_slice_of_items_has_the_scores_it_has_among_all(model, variant):
    network = perturb(make(model, variant))
    histories, score = histories_for(network), network.scorer()
    whole = scores(network, histories)
    for items in (slice(0, N_X + N_Y), slice(2, 4), slice(N_X + 1, N_X + 2), slice(3, N_X + 2)):
        torch.testing.assert_close(score(histories, items), whole[:, items])


@every_model
def test_a_batch_of_one_is_a_row_of_a_batch(model, variant):
    network = perturb(make(model, variant))
    histories = histories_for(network)
    whole = scores(network, histories)
    for place in range(len(whole)):
        torch.testing.assert_close(scores(network, row(histories, place)), whole[place : place + 1])


@pytest.mark.parametrize(("model", "variant"), MASKED)
def test_what_padding_holds_does_not_matter(model, variant):
    network = perturb(make(model, variant))
    histories = histories_for(network)
    before = scores(network, histories)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Embedding) and module.num_embeddings == PADDING + 1:
                module.weight[PADDING] = 17
    assert torch.equal(scores(network, histories), before)


@pytest.mark.parametrize(("model", "variant"), ANY_LAYOUT)
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
        built = sequences(walks, N_X)
        gatherer = Gatherer(built, length, N_X, PADDING, torch.device("cpu"))
        training = built.of_split(TRAIN)
        found.append(scores(network, gatherer.histories(training.user, training.start, training.start + 3)))
    assert torch.equal(*found)


@pytest.mark.parametrize(("model", "variant"), [case for case in BY_WINDOW if case not in BY_WHOLE_SEQUENCE])
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


# A user's next item follows from the last one: everybody walks the same circle of all items.
TOYS = {
    "itemknn": {"history_length": 8, "neighbours": 24, "shrinkage": 0.0, "decay": 0.5},
    "hgn": {"width": 32, "history_length": 4, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.0},
    "sasrec": {"width": 32, "layers": 1, "history_length": 8, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.1},
    "sasrec started from text": {
        **{"width": 16, "layers": 1, "history_length": 8, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.1},
        "start": "text",
    },
    "abxi": {"width": 32, "history_length": 8, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.1},
    "tandem": {"width": 32, "history_length": 8, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.1},
    "lecdsr": {
        **{"width": 32, "hidden": 32, "history_length": 8, "batch_size": 16, "learning_rate": 0.01},
        **{"negatives": 10, "tau": 1.0, "alignment": 0.01},
    },
}


def learn(toy: str, walks: list[list[int]], data: DatasetInfo) -> TrainingResult:
    model = toy.split()[0]
    settings = settings_for(model, **TOYS.get(toy, {}))
    shared = shared_settings(seed=1, device="cpu", epochs=40, patience=40)
    network = build(model, settings, data, 1)
    return train(network, sequences(walks, data.n_x), data, settings, shared, torch.device("cpu"))


@pytest.mark.parametrize("toy", TOYS)
def test_a_toy_is_learned_to_the_optimum(toy):
    n, walks = 12, circle(12)
    result = learn(toy, walks, info(n, n, len(walks), 16))
    assert result.best_score > 0.95
    if toy != "itemknn":
        assert result.log[0]["valid_ndcg@10"] < 0.75  # by chance: a third of each domain is history


def test_popularity_learns_a_toy_to_the_optimum():
    # Everybody takes the items in one order, some go on for longer: the next is the most popular not yet had.
    n = 6
    order = [item for place in range(n) for item in (place, n + place)]
    walks = [order[:length] for length in range(4, 2 * n + 1)]
    counts = np.bincount(np.concatenate([walk[:-2] for walk in walks]), minlength=2 * n)
    data = replace(info(n, n, len(walks)), train_counts=torch.from_numpy(counts))
    result = learn("popularity", walks, data)
    assert result.best_score == 1
    assert result.best_epoch == 0


def test_what_is_held_out_is_not_counted():
    # The last two items of a user are validation and test; other ones must not move a count.
    n, walks = 12, circle(12)
    changed = [[*walk[:-2], *circle(12)[place - 5][-2:]] for place, walk in enumerate(walks)]
    data = info(n, n, len(walks))
    first, again = (learn("itemknn", histories, data).weights for histories in (walks, changed))
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


@pytest.mark.parametrize(("model", "variant"), [case for case in TRAINED if case not in IDLE])
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
    gradient = network.item_embeddings.weight.grad
    assert gradient is not None
    assert not gradient[PADDING].any()


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
    assert torch.equal(data.user_vectors, untouched.user_vectors)
    save(tmp_path, network, config_of(model, settings))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {name for name, _ in network.named_parameters()}
