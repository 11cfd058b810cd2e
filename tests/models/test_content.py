"""Content-based ranking compared with plain arithmetic, and on a toy dataset of themes."""

import dataclasses

import numpy as np
import pytest
import torch

from lecdsr.models.saved import build
from lecdsr.train.trainer import train
from tests.models.settings import settings_for, shared_settings
from tests.models.zoo import N_X, N_Y, PADDING, USERS, batch_of, scores
from tests.tiny import info, sequences


def with_vectors(vectors, n_x, n_y, n_users):
    vectors = torch.tensor([*vectors, [0.0] * len(vectors[0])])
    return dataclasses.replace(info(n_x, n_y, n_users), item_vectors=vectors)


def test_scores_by_hand():
    chosen = settings_for("content", history_length=3, whitening=False, decay=0.5)
    data = with_vectors([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [3.0, 4.0]], 2, 2, 1)
    network = build("content", chosen, data, 0)
    histories = [[0], [0, 1], [1, 2], [2], []]
    sequence = torch.tensor([[4] * (3 - len(row)) + row for row in histories])
    found = scores(network, dataclasses.replace(batch_of([[]], [0], 3), sequence=sequence))
    root = 1.25**0.5  # the length of (0.5, 1): the earlier item counts half
    expected = [
        [1, 0, 0, 0.6],
        [0.5 / root, 1 / root, 0, (0.5 * 0.6 + 0.8) / root],
        [0, 1, 0, 0.8],  # an item without text says nothing
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_whitening_makes_a_rare_direction_count_as_much():
    """On the first axis items differ a hundredfold, so that without whitening it alone decides."""
    vectors = np.random.default_rng(0).normal(size=(N_X + N_Y, 2)) * [100.0, 1.0]
    data = with_vectors(vectors.tolist(), N_X, N_Y, USERS)
    history = batch_of([[3]], [0])
    plain, whitened = (
        scores(build("content", settings_for("content", whitening=on), data, 0), history)[0] for on in (False, True)
    )
    assert plain.abs().min() > 0.9
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred)
    parts = centred @ axes.T
    parts /= parts.std(axis=0, ddof=1)
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    np.testing.assert_allclose(whitened, parts @ parts[3], atol=1e-5)


def test_themes_are_learned_to_the_optimum():
    """Every user stays with one theme, whose texts are similar, and takes all of its items, the target last."""
    themes, size = 4, 3
    n = themes * size
    texts = np.repeat(np.eye(themes), size, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(n, themes))
    data = with_vectors(np.concatenate([texts, texts]).tolist(), n, n, themes)
    # X and Y by turns; held out are the third of X in validation and the third of Y in test.
    walks = [
        [size * theme, n + size * theme, size * theme + 1, n + size * theme + 1, size * theme + 2, n + size * theme + 2]
        for theme in range(themes)
    ]
    chosen = settings_for("content")
    network = build("content", chosen, data, 0)
    result = train(network, sequences(walks, n), data, chosen, shared_settings(device="cpu"), torch.device("cpu"))
    assert result.best_score == 1
    assert result.best_epoch == 0


def test_nothing_is_saved_but_what_the_settings_say():
    network = build("content", settings_for("content"), info(N_X, N_Y, USERS), 0)
    assert not network.state_dict()
    assert network.item_text.shape[0] == PADDING + 1
    assert not network.item_text[PADDING].any()


def test_without_text_there_is_nothing_to_rank_by():
    with pytest.raises(ValueError, match="item_text"):
        settings_for("content", item_text="none")
