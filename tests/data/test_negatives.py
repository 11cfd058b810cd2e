"""Negatives of a training step: never the target, of its domain, uniform, repeatable."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.data.negatives import Draws, draw_negatives, draw_unseen
from tests.errors import refused

small = settings(max_examples=50, deadline=None)


def generator(seed: int = 0) -> Draws:
    return Draws(seed)


@small
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 20), st.integers(0, 99), st.data())
def test_of_the_targets_domain_and_never_the_target(n_x, n_y, count, seed, data):
    target = torch.tensor(data.draw(st.lists(st.integers(0, n_x + n_y - 1), min_size=1, max_size=6)))
    items = draw_negatives(target, count, n_x, n_y, generator(seed))
    assert items.shape == (len(target), count)
    assert items.dtype == torch.long
    assert (items != target.unsqueeze(1)).all()
    assert ((items < n_x) == (target < n_x).unsqueeze(1)).all()
    assert (items >= 0).all()
    assert (items < n_x + n_y).all()


@pytest.mark.parametrize("target", [0, 3, 6, 7, 10, 12])
def test_every_other_item_is_as_likely(target):
    n_x, n_y, count = 7, 6, 30_000
    items = draw_negatives(torch.tensor([target]), count, n_x, n_y, generator(1))[0]
    frequency = torch.bincount(items, minlength=n_x + n_y)
    domain = torch.arange(n_x + n_y) < n_x if target < n_x else torch.arange(n_x + n_y) >= n_x
    domain[target] = False
    assert frequency[~domain].sum() == 0
    expected = count / int(domain.sum())
    freedom = int(domain.sum()) - 1
    chi_square = ((frequency[domain] - expected) ** 2 / expected).sum()
    assert chi_square < freedom + 6 * (2 * freedom) ** 0.5


def test_same_seed_same_negatives():
    target = torch.arange(13)
    first, again, other = (draw_negatives(target, 9, 7, 6, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_draw_is_another():
    source, target = generator(), torch.arange(13)
    assert not torch.equal(draw_negatives(target, 9, 7, 6, source), draw_negatives(target, 9, 7, 6, source))


def test_excluded_items_are_drawn_again():
    n_x, n_y, padding = 1000, 1000, 2000
    target = torch.tensor([5, 1500])
    excluded = torch.tensor([[padding, 1, 2, 3], [1001, 1002, 1003, 7]])
    items = draw_negatives(target, 5000, n_x, n_y, generator(), excluded)
    for row, banned in zip(items, excluded, strict=True):
        assert not torch.isin(row, banned).any()
    assert (items != target.unsqueeze(1)).all()
    assert ((items < n_x) == (target < n_x).unsqueeze(1)).all()


def test_exclusion_leaves_the_rest_uniform():
    n_x, excluded = 40, torch.tensor([[1, 2]])
    items = draw_negatives(torch.tensor([0]), 37_000, n_x, 2, generator(4), excluded)[0]
    frequency = torch.bincount(items, minlength=n_x)[3:]
    assert ((frequency - 1000) ** 2 / 1000).sum() < 36 + 6 * 72**0.5


def test_where_everything_is_excluded_a_rest_stays():
    items = draw_negatives(torch.tensor([0]), 50, 3, 2, generator(), torch.tensor([[1, 2]]))
    assert set(items[0].tolist()) <= {1, 2}


@pytest.mark.parametrize(("n_x", "n_y"), [(1, 5), (5, 1)])
def test_a_domain_of_one_item_has_no_negative(n_x, n_y):
    with refused("one-item"):
        draw_negatives(torch.tensor([0]), 3, n_x, n_y, generator())


@small
@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 99), st.data())
def test_unseen_items_are_of_their_domain(first, size, seed, data):
    seen = torch.tensor(data.draw(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1)))
    items = draw_unseen(slice(first, first + size), 7, seen, generator(seed))
    assert items.shape == (len(seen), 7)
    assert ((items >= first) & (items < first + size)).all()


def test_unseen_items_are_uniform_over_what_was_not_seen():
    # Seen items in no order, twice, of the other domain and padding; each row has its own.
    seen = torch.tensor([[49, 12, 10, 12], [60, 3, 11, 10]])
    items = draw_unseen(slice(10, 50), 38_000, seen, generator(5))
    for row, banned, rest in zip(items, ([10, 12, 49], [10, 11]), (37, 38), strict=True):
        frequency = torch.bincount(row, minlength=50)[10:]
        frequency = frequency[[item not in banned for item in range(10, 50)]]
        assert frequency.sum() >= 38_000 - 10  # after three draws more one in 30,000 stays
        expected = 38_000 / rest
        assert ((frequency - expected) ** 2 / expected).sum() < rest + 6 * (2 * rest) ** 0.5


def test_an_unseen_draw_is_another_for_every_row():
    items = draw_unseen(slice(0, 9), 20, torch.full((2, 1), 9), generator())
    assert not torch.equal(items[0], items[1])
