"""The highest scores with ties broken by lower id, whatever the blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.recommend.best import best_of, merge

INF = float("inf")


def expected(row, k):
    """Ids by score, then by id; excluded ones are not in it."""
    order = np.lexsort((np.arange(len(row)), -np.asarray(row)))[:k]
    return [int(item) for item in order if row[item] > -INF]


def found(best):
    return [[int(item) for score, item in zip(*row, strict=True) if score > -INF] for row in zip(*best, strict=True)]


def test_by_hand():
    scores = torch.tensor([[1.0, 3.0, 2.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0], [-INF, 5.0, -INF, -INF, 4.0]])
    best = best_of(scores, 2, first=10)
    assert best.items[:2].tolist() == [[11, 13], [10, 11]]
    assert found(best)[2] == [11, 14]
    assert best.scores[0].tolist() == [3.0, 3.0]


def test_k_beyond_the_items_gives_all_of_them():
    assert best_of(torch.tensor([[1.0, 2.0, 1.0]]), 9).items.tolist() == [[1, 0, 2]]


def test_negative_zero_is_zero():
    assert best_of(torch.tensor([[-0.0, 0.0, -0.0, 0.0]]), 2).items.tolist() == [[0, 1]]


def test_nan_comes_first_so_that_it_is_seen():
    best = best_of(torch.tensor([[1.0] * 50 + [float("nan")]]), 1)
    assert torch.isnan(best.scores).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12), st.integers(1, 41), st.integers(1, 4))
def test_any_blocks_give_the_same(seed, size, k, block, values):
    """Few different values, so that most places are shared; some items excluded."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, values, (3, size)).astype(np.float32)
    scores[random.random((3, size)) < 0.2] = -INF
    best = None
    for first in range(0, size, block):
        here = best_of(torch.from_numpy(scores[:, first : first + block]), k, first)
        best = here if best is None else merge(best, here, k)
    assert found(best) == [expected(row, k) for row in scores]


@pytest.mark.parametrize("size", [200, 5000])
def test_many_items_share_the_last_place(size):
    """A row in which topk chooses any of hundreds of equal scores."""
    scores = torch.zeros(2, size)
    scores[0, [size - 1, 70]] = 1.0
    assert best_of(scores, 5).items.tolist() == [[70, size - 1, 0, 1, 2], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("values", [2, 50, 10**6])
@pytest.mark.parametrize("size", [128 * 12, 128 * 13 + 1, 128 * 14 + 127])
def test_groups_of_columns_give_the_same(values, size):
    random = np.random.default_rng(size)
    scores = random.integers(0, values, (20, size)).astype(np.float32)
    scores[random.random(scores.shape) < 0.2] = -INF
    scores[0, : size - 2] = -INF
    assert found(best_of(torch.from_numpy(scores), 3)) == [expected(row, 3) for row in scores]
    scores[1, 500] = np.nan
    assert torch.isnan(best_of(torch.from_numpy(scores), 3).scores[1]).any()
