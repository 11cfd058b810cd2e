"""Tandem: representation of items, calendar, and ranking of unseen items."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lecdsr.models.layers.text import whiten
from lecdsr.models.saved import build
from lecdsr.models.tandem import Calendar
from tests.models.settings import settings_for
from tests.models.zoo import LENGTH, N_X, N_Y, PADDING, USERS, batch_of, draws, make, perturb, scores, training_batch
from tests.tiny import info

N = N_X + N_Y


def network_for(data=None, **changed):
    changed = {"term_weights": "fixed", **changed}
    settings = settings_for("tandem", width=8, heads=2, history_length=LENGTH, calendar_days=2, **changed)
    return build("tandem", settings, data or info(N_X, N_Y, USERS), 0).eval()


def test_an_item_is_its_text_and_as_much_of_its_id_as_it_was_seen():
    network = perturb(network_for(id_shrinkage=5.0))
    data = network.info
    text = whiten(data.item_vectors, 8) / 8**0.5
    for item in range(N):
        n = data.train_counts[item].item()
        id_part = n / (n + 5) * network.item_embeddings.weight[item]
        expected = id_part + network.text_projection.weight @ text[item]
        torch.testing.assert_close(network.table()[item], F.normalize(expected, dim=0))
    assert not network.table()[PADDING].any()


def test_scores_are_cosines_at_a_temperature():
    network = perturb(network_for(temperature=0.2, content_weight=0.0))
    histories = batch_of([[0, 6, 1], [7]], [0, 1])
    queries, (keys, bias) = network.queries(replace(histories, domain=1)), network.keys()
    torch.testing.assert_close(queries.norm(dim=1), torch.full((2,), 5.0))
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(N))
    assert not bias.any()


def test_to_what_is_learned_comes_the_content_of_the_texts():
    """With the same weights: scores = scores without content + weight / temperature · scores of `content`."""
    histories = batch_of([[0, 6, 1], [7], [0, 6, 1, 7, 2], []], [0, 1, 2, 3])
    learned = perturb(network_for(content_weight=0.0, temperature=0.2))
    both = perturb(network_for(content_weight=0.6, content_decay=0.7, temperature=0.2))
    chosen = settings_for("content", history_length=LENGTH, decay=0.7)
    content = build("content", chosen, info(N_X, N_Y, USERS), 0)
    expected = scores(learned, histories) + 0.6 / 0.2 * scores(content, histories)
    torch.testing.assert_close(scores(both, histories), expected)
    assert not torch.allclose(scores(both, histories), scores(learned, histories))
    assert [name for name in both.state_dict() if name not in learned.state_dict()] == []


def test_content_has_no_part_in_the_loss():
    losses = []
    for weight in (0.0, 5.0):
        network = perturb(network_for(content_weight=weight))
        losses.append(network.loss(training_batch(network, network.settings), draws())[0])
    assert torch.equal(*losses)


def test_an_item_never_seen_is_ranked_by_its_text_and_by_nothing_else():
    # Item 0 has no training interactions (train_counts are 0, 1, 2 …) and the text of item 4.
    data = info(N_X, N_Y, USERS)
    vectors = data.item_vectors.clone()
    vectors[0] = vectors[4]
    network = perturb(network_for(replace(data, item_vectors=vectors)))
    before = scores(network, batch_of([[1, 6, 2]], [0]))
    with torch.no_grad():
        network.item_embeddings.weight[0] += 3.0
    assert torch.equal(scores(network, batch_of([[1, 6, 2]], [0])), before)
    assert before[0, 0] != before[0, 1]
    with torch.no_grad():
        network.item_embeddings.weight[4] = 0
    alike = scores(network, batch_of([[1, 6, 2]], [0]))
    torch.testing.assert_close(alike[0, 0], alike[0, 4])  # without its id item 4 is item 0


def test_an_item_with_neither_text_nor_interactions_is_no_better_than_chance():
    data = info(N_X, N_Y, USERS)
    vectors = data.item_vectors.clone()
    vectors[0] = 0
    found = scores(perturb(network_for(replace(data, item_vectors=vectors))), batch_of([[1, 6, 2]], [0]))
    assert found[0, 0] == 0
    assert torch.isfinite(found).all()


def test_ids_are_left_out_of_training_steps_alone():
    network = perturb(network_for(id_dropout=0.5))
    whole = network.table()
    assert torch.equal(whole, network.table())
    network.train()
    torch.manual_seed(3)
    changed = (network.table() != whole).any(dim=1)[:N]
    seen = network.info.train_counts > 0
    assert 0 < changed[seen].sum() < seen.sum()  # some ids were left out, others not
    assert not changed[~seen].any()


def test_the_calendar_is_a_line_between_its_knots_and_ends_where_training_does():
    calendar = Calendar((100, 109), 4, 3)  # knots on days 100, 104, 108 and 112
    assert calendar.knots.num_embeddings == 4
    knots = calendar.knots.weight
    found = calendar(torch.tensor([100, 101, 104, 106, 109]))
    expected = [
        knots[0],
        0.75 * knots[0] + 0.25 * knots[1],
        knots[1],
        (knots[1] + knots[2]) / 2,
        0.75 * knots[2] + 0.25 * knots[3],
    ]
    torch.testing.assert_close(found, torch.stack(expected))
    outside = calendar(torch.tensor([0, 50, 110, 10**6]))
    torch.testing.assert_close(outside, torch.stack([knots[0], knots[0], expected[-1], expected[-1]]))


def test_a_calendar_of_one_day_works():
    assert torch.isfinite(Calendar((7, 7), 90, 2)(torch.tensor([6, 7, 8]))).all()


@pytest.mark.parametrize("days", [0, 2])
def test_scores_know_the_day_only_where_there_is_a_calendar(days):
    network = perturb(make("tandem", "default" if days else "no calendar"))
    histories = batch_of([[0, 6, 1], [7]], [0, 1])
    earlier = replace(histories, day=histories.day - 3)
    same = torch.equal(scores(network, histories), scores(network, earlier))
    assert same == (days == 0)


def test_the_day_of_padding_does_not_matter():
    network = perturb(make("tandem", "default"))
    histories = batch_of([[0, 6, 1], [7]], [0, 1])
    other = torch.where(histories.sequence == PADDING, 10**6, histories.day)
    assert torch.equal(scores(network, histories), scores(network, replace(histories, day=other)))
