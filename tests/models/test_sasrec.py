"""SASRec: causal states, its loss position by position, text on both sides or as initial embeddings."""

import itertools

import pytest
import torch

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.models.layers.text import whiten
from lecdsr.models.sasrec import SASRec, standardise
from tests.models.settings import sasrec_settings
from tests.models.zoo import (
    N_X,
    N_Y,
    PADDING,
    USERS,
    draws,
    generator,
    histories_for,
    make,
    perturb,
    training_batch,
)
from tests.tiny import info

every_sasrec = pytest.mark.parametrize("variant", SASRec.contract.variants)


def histories_of(sequence: torch.Tensor) -> Histories:
    return Histories(sequence, sequence, torch.zeros(len(sequence), dtype=torch.long), sequence)


@every_sasrec
def test_sasrec_never_sees_the_future(variant):
    network = perturb(make("sasrec", variant))
    assert isinstance(network, SASRec)
    length = network.settings.history_length
    table = network.table()
    sequence = torch.tensor([[PADDING, 3, 7, 1, 9][-length:], [4, 8, 0, 6, 2][-length:]])
    states = network._states(histories_of(sequence), table)
    for kept in range(length):
        changed = sequence.clone()
        changed[:, kept + 1 :] = (changed[:, kept + 1 :] + 1) % (N_X + N_Y)
        after = network._states(histories_of(changed), table)
        assert torch.equal(after[:, : kept + 1], states[:, : kept + 1])
        assert not torch.equal(after[:, kept + 1 :], states[:, kept + 1 :]) or kept + 1 == length


@every_sasrec
def test_sasrec_sees_the_past(variant):
    network = perturb(make("sasrec", variant))
    length = network.settings.history_length
    sequence = torch.tensor([[4, 8, 0, 6, 2][-length:]])
    before = network.queries(Histories(sequence, sequence, torch.tensor([0]), sequence))
    for place in range(length):
        changed = sequence.clone()
        changed[0, place] = 1
        assert not torch.allclose(network.queries(Histories(changed, changed, torch.tensor([0]), changed)), before)


@every_sasrec
def test_padding_rows_of_sasrec_do_not_matter(variant):
    network = perturb(make("sasrec", variant))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
    assert torch.equal(network.queries(histories), before)


@pytest.mark.parametrize("variant", [name for name in SASRec.contract.variants if name != "sampled softmax"])
def test_sasrec_loss_is_that_of_the_states_one_by_one(variant):
    network = perturb(make("sasrec", variant))
    batch = training_batch(network, network.settings)
    loss, _ = network.loss(batch, draws())
    states, (keys, bias) = network._states(batch.histories, network.table()), network.keys()
    assert not bias.any()
    losses = []
    for b, place in itertools.product(*(range(n) for n in batch.targets.shape)):
        target = int(batch.targets[b, place])
        if target != PADDING:
            domain = slice(0, N_X) if target < N_X else slice(N_X, None)
            logits = states[b, place] @ keys[domain].T
            losses.append(torch.logsumexp(logits, 0) - logits[target - (domain.start or 0)])
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_text_enters_both_sides_of_sasrec():
    data = info(N_X, N_Y, USERS)
    network = perturb(make("sasrec", "text", data=data))
    ids = network.item_embeddings.weight
    expected = ids + standardise(data.item_vectors) @ network.text_projection.weight.T
    torch.testing.assert_close(network.table(), expected)
    torch.testing.assert_close(network.keys()[0], expected[:PADDING])


def test_standardised_vectors():
    vectors = torch.randn(9, 4, generator=generator()) * torch.tensor([1, 5, 0.1, 0]) + 7
    vectors[[2, 8]] = 0
    scaled = standardise(vectors)
    known = [0, 1, 3, 4, 5, 6, 7]
    assert not scaled[[2, 8]].any()
    torch.testing.assert_close(scaled[known].mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[known].std(0)[:3], torch.ones(3), atol=1e-4, rtol=0)
    assert torch.isfinite(scaled).all()  # the last dimension is constant


@pytest.mark.parametrize("known", [0, 1])
def test_too_few_vectors_to_standardise(known):
    vectors = torch.zeros(3, 4)
    vectors[:known] = 2
    assert torch.equal(standardise(vectors), vectors)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match=r"heads .* width 8, got 3"):
        sasrec_settings(width=8, heads=3)


def test_a_start_from_text_lays_whitened_vectors_over_the_ids():
    data = info(N_X, N_Y, USERS)  # 8 dimensions, all of them used
    data.item_vectors[4] = 0  # no text
    started, random = (
        make("sasrec", variant, data=data).item_embeddings.weight for variant in ("started from text", "ids")
    )
    known = [item for item in range(PADDING) if item != 4]
    torch.testing.assert_close(started[known], 0.02 * whiten(data.item_vectors, 8)[known])
    assert torch.equal(started[4], random[4])
    assert not started[PADDING].any()
    # Trained as ids from there on: no vectors are read or kept.
    assert [name for name, _ in make("sasrec", "started from text").named_buffers()] == ["shares"]


def test_a_start_from_few_dimensions_leaves_the_rest_random():
    data = info(N_X, N_Y, USERS, width=3)
    started, random = (
        make("sasrec", variant, data=data).item_embeddings.weight for variant in ("started from text", "ids")
    )
    assert not torch.isclose(started[:PADDING, :3], random[:PADDING, :3]).any()
    assert torch.equal(started[:, 3:], random[:, 3:])


def test_a_start_from_text_needs_vectors():
    data = DatasetInfo(N_X, N_Y, USERS, None, None, torch.zeros(N_X + N_Y))
    with pytest.raises(ValueError, match="vectors"):
        make("sasrec", "started from text", data=data)
