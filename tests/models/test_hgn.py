"""HGN compared with its formulas written as loops."""

import pytest
import torch

from tests.models.zoo import N_X, N_Y, PADDING, USERS, batch_of, draws, make, perturb, scores, training_batch


def sigmoid(x):
    return 1 / (1 + (-x).exp())


@pytest.mark.parametrize("history", [[7, 2, 9], [1], [0, 6, 1, 7, 2], []])
def test_scores_by_loop(history):
    m = perturb(make("hgn", "ids"))
    weight = {name: value.detach() for name, value in m.named_parameters()}
    length, user = m.settings.history_length, 3
    u = weight["user_embeddings.weight"][user]
    pooled, products = torch.zeros(8), torch.zeros(8)
    for place, item in enumerate(history):
        s = weight["item_embeddings.weight"][item]
        column = length - len(history) + place
        gate = weight["feature_gate_item.weight"] @ s + weight["feature_gate_item.bias"]
        f = s * sigmoid(gate + weight["feature_gate_user.weight"] @ u)
        instance = weight["instance_gate_item.weight"][0] @ f + weight["instance_gate_user.weight"][column] @ u
        pooled += sigmoid(instance) * f / len(history)
        products += s
    q = weight["output_embeddings.weight"]
    expected = torch.stack([u @ q[j] + pooled @ q[j] + products @ q[j] for j in range(N_X + N_Y)])
    torch.testing.assert_close(scores(m, batch_of([history], [user], length))[0], expected)


def test_loss_by_loop():
    m = perturb(make("hgn", "ids"))
    batch = training_batch(m, m.settings)
    found, _ = m.loss(batch, draws())
    losses = []
    for row, target in zip(scores(m, batch.histories), batch.target.tolist(), strict=True):
        domain = row[:N_X] if target < N_X else row[N_X:]
        losses.append(torch.logsumexp(domain, 0) - row[target])
    torch.testing.assert_close(found.detach(), torch.stack(losses).mean())


def test_a_user_without_history_is_scored_by_his_embedding():
    m = perturb(make("hgn", "ids"))
    users = list(range(USERS))
    assert torch.equal(m.queries(batch_of([[] for _ in users], users)), m.user_embeddings.weight)


def test_weights_are_those_of_the_paper():
    shapes = {name: tuple(value.shape) for name, value in make("hgn", "ids").named_parameters()}
    assert shapes == {
        "user_embeddings.weight": (USERS, 8),
        "item_embeddings.weight": (PADDING + 1, 8),
        "output_embeddings.weight": (PADDING, 8),
        "feature_gate_item.weight": (8, 8),
        "feature_gate_item.bias": (8,),
        "feature_gate_user.weight": (8, 8),
        "instance_gate_item.weight": (1, 8),
        "instance_gate_user.weight": (5, 8),
    }
