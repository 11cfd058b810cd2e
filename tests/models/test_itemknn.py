"""Item-kNN compared with dense arithmetic: similarities, neighbours, recency."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lecdsr.core.schemas import TRAIN
from lecdsr.data.sequences import from_tables, own_domain
from lecdsr.models import itemknn
from lecdsr.models.saved import build
from tests.models.settings import settings_for
from tests.models.zoo import HISTORIES, N_X, N_Y, PADDING, USERS, batch_of, scores
from tests.tiny import info, interactions, sequences, windows_table

N = N_X + N_Y


def dense(training: list[list[int]], chosen) -> np.ndarray:
    """Compute similarities ``[N, N]`` of column to row, if the column is a neighbour of the row in its domain."""
    had = np.zeros((len(training), N))
    for user, items in enumerate(training):
        had[user, items] = 1
    both = had.T @ had
    norm = np.sqrt(had.sum(0)[:, None] * had.sum(0)[None, :])
    similarity = np.where(both > 0, both / np.maximum(norm + chosen.shrinkage, 1e-12), 0)
    np.fill_diagonal(similarity, 0)
    kept = np.zeros_like(similarity)
    for item in range(N):
        for domain in (range(N_X), range(N_X, N)):
            ranked = sorted(domain, key=lambda other: (-np.float32(similarity[item, other]), other))
            best = ranked[: chosen.neighbours]
            kept[item, best] = similarity[item, best]
    return kept


def expected_scores(training, histories, chosen) -> np.ndarray:
    kept = dense(training, chosen)
    rows = []
    for history in histories:
        latest = history[-chosen.history_length :]
        rows.append(sum((chosen.decay**back * kept[item] for back, item in enumerate(reversed(latest))), np.zeros(N)))
    return np.array(rows)


def counted(built, chosen):
    network = build("itemknn", chosen, info(N_X, N_Y, USERS), 0)
    network.count(built.of_split(TRAIN))
    return network


walks = st.lists(st.lists(st.integers(0, N - 1), min_size=3, max_size=9), min_size=1, max_size=8)
options = st.fixed_dictionaries(
    {
        "history_length": st.integers(1, 6),
        "neighbours": st.integers(1, 12),
        "shrinkage": st.sampled_from([0.0, 0.5, 10.0]),
        "decay": st.sampled_from([1.0, 0.5]),
    }
)


@hypothesis_settings(deadline=None, max_examples=60)
@given(walks, options, st.lists(st.lists(st.integers(0, N - 1), max_size=8), min_size=1, max_size=4))
def test_scores_are_those_of_dense_arithmetic(walks, changed, histories):
    chosen = settings_for("itemknn", **changed)
    network = counted(sequences(walks, N_X), chosen)  # repeats of an item in a walk count once
    found = scores(network, batch_of(histories, [0] * len(histories), chosen.history_length))
    training = [walk[:-2] for walk in walks if len(walk) > 3]  # of one training item there is no window
    np.testing.assert_allclose(found, expected_scores(training, histories, chosen), rtol=1e-5, atol=1e-7)


def test_similarities_by_hand():
    # Users of 0: three; of 6: two, both of whom have 0; of 1: one, who has 0.
    walks = [[0, 6, 9, 9], [0, 6, 1, 9, 9], [0, 10, 9, 9]]
    chosen = settings_for("itemknn", neighbours=5, shrinkage=1.0, decay=0.5, history_length=3)
    network = counted(sequences([[*walk[:-2], 5, 5] for walk in walks], N_X), chosen)
    one = scores(network, batch_of([[0]], [0], 3))[0]
    assert one[6].item() == pytest.approx(2 / (6**0.5 + 1))
    assert one[1].item() == pytest.approx(1 / (3**0.5 + 1))
    assert one[0] == one[5] == 0  # itself; held out everywhere
    two = scores(network, batch_of([[1, 0]], [0], 3))[0]
    assert two[6].item() == pytest.approx(2 / (6**0.5 + 1) + 0.5 * 1 / (2**0.5 + 1))


def test_blocks_do_not_show(monkeypatch):
    chosen = settings_for("itemknn", neighbours=3)
    whole = counted(sequences(HISTORIES, N_X), chosen).state_dict()
    for size in (1, 4):
        monkeypatch.setattr(itemknn, "BLOCK", size)
        parts = counted(sequences(HISTORIES, N_X), chosen).state_dict()
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_windows_that_overlap_count_once():
    table = interactions([[0, 6, 1, 7, 2], [0, 7, 3]], N_X)
    overlapping = from_tables(table, windows_table([(TRAIN, 0, 0, 1, 4), (TRAIN, 0, 1, 2, 5), (TRAIN, 1, 5, 6, 8)]))
    apart = from_tables(table, windows_table([(TRAIN, 0, 0, 1, 5), (TRAIN, 1, 5, 6, 8)]))
    chosen = settings_for("itemknn", neighbours=5)
    first, again = (counted(built, chosen).state_dict() for built in (overlapping, apart))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_histories_of_the_own_domain_count_the_same_users():
    walks = [[0, 6, 1, 7, 2, 8], [6, 1, 7, 3, 9, 10], [5, 4, 9, 8, 0, 1]]  # two items of either domain to train on
    built, chosen = sequences(walks, N_X), settings_for("itemknn", neighbours=20)
    mixed, own = (counted(one, chosen).similarities for one in (built, own_domain(built, N_X)))
    assert mixed.any()
    assert torch.equal(mixed, own)


def test_nothing_to_count():
    network = counted(sequences([[0, 6], [1, 7]], N_X), settings_for("itemknn"))
    assert not scores(network, batch_of([[0, 6], []], [0, 1], 5)).any()
    assert not network.similarities[PADDING].any()
