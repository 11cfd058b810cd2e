"""Negatives of the sampled ranking: which items are allowed, as properties, and that the draw is uniform."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.candidates import draw
from lecdsr.candidates.draw import draw_candidates, sample_without
from lecdsr.candidates.settings import Settings
from lecdsr.core.files import write_table
from lecdsr.core.schemas import CANDIDATES, TRAIN
from lecdsr.sequences.split import leave_one_out
from tests.tiny import interactions, items_table, windows_table

small = settings(max_examples=50, deadline=None)


@st.composite
def random_pairs(draw):
    """Draw the sizes of two domains and histories of a few users in both."""
    n_x, n_y = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    history = st.lists(st.integers(0, n_x + n_y - 1), min_size=1, max_size=12)
    return n_x, n_y, draw(st.lists(history, min_size=1, max_size=6))


def tables(n_x: int, n_y: int, histories: list[list[int]]) -> tuple[pa.Table, pa.Table, pa.Table]:
    table = interactions(histories, n_x)
    windows = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows
    return table, windows, items_table(n_x, n_y)


def drawn(pair, **changed) -> pa.Table:
    return draw_candidates(*tables(*pair), Settings(**{"negatives": 4, "exclude": "history", "seed": 1, **changed}))


@small
@given(random_pairs(), st.integers(1, 15), st.sampled_from(["history", "target"]), st.integers(0, 2**63))
def test_what_a_negative_may_be(pair, count, exclude, seed):
    n_x, n_y, histories = pair
    table, windows, items = tables(*pair)
    candidates = draw_candidates(table, windows, items, Settings(negatives=count, exclude=exclude, seed=seed))
    assert candidates.schema == CANDIDATES
    held_out = [row for row in windows.to_pylist() if row["split"] != TRAIN]
    assert len(candidates) == len(held_out)
    for window, row in zip(held_out, candidates.to_pylist(), strict=True):
        assert (row["split"], row["row"]) == (window["split"], window["end"] - 1)
        target = table["item"][row["row"]].as_py()
        domain = range(n_x) if target < n_x else range(n_x, n_x + n_y)
        forbidden = set(histories[window["user"]]) if exclude == "history" else {target}
        allowed = set(domain) - forbidden
        negatives = row["negatives"]
        assert target not in negatives
        assert set(negatives) <= allowed
        assert len(set(negatives)) == len(negatives) == min(count, len(allowed))


@small
@given(random_pairs(), st.integers(0, 1000))
def test_same_seed_same_table(pair, seed):
    assert drawn(pair, seed=seed).equals(drawn(pair, seed=seed))


HISTORIES = [[user % 7, 7 + user % 5, (3 * user) % 50, 50 + (5 * user) % 60] for user in range(40)]
SHOP = (50, 60, HISTORIES)


def test_same_seed_same_bytes_other_seed_other_negatives(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_table(tmp_path / name, drawn(SHOP, seed=seed), CANDIDATES)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_two_users_of_one_target_have_different_negatives():
    rows = drawn((50, 50, [[1, 2, 3], [1, 2, 3]]), negatives=10)["negatives"].to_pylist()
    assert len({tuple(row) for row in rows}) == len(rows) == 4


def test_a_domain_smaller_than_the_count_gives_all_there_is():
    table = drawn((5, 3, [[0, 1, 2, 5, 6]]), negatives=999)
    # Validation target 5 and test target 6, both of Y = {5, 6, 7}, the history in X of no concern.
    assert table["negatives"].to_pylist() == [[7], [7]]
    table = drawn((5, 3, [[0, 1, 2, 5, 6]]), negatives=999, exclude="target")
    assert [sorted(row) for row in table["negatives"].to_pylist()] == [[6, 7], [5, 7]]


def test_a_user_who_had_everything_has_no_negatives():
    assert drawn((3, 2, [[0, 1, 2, 3, 4]]))["negatives"].to_pylist() == [[], []]


def test_no_targets_no_candidates():
    table = interactions([[0], [1]], 3)
    windows = windows_table([(TRAIN, 0, 0, 0, 1)])
    candidates = draw_candidates(table, windows, items_table(3, 2), Settings(negatives=2, exclude="history", seed=0))
    assert len(candidates) == 0
    assert candidates.schema == CANDIDATES


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("count", [1, 3, 14])
def test_every_allowed_item_is_as_likely(count):
    first, last, n, rows = 10, 30, 40, 4000
    banned = np.array([3, 11, 12, 20, 25, 29, 35])  # two of them outside the range
    group = np.repeat([0, 1], rows // 2)
    forbidden = np.concatenate([banned, n + np.arange(10, 15)])
    lists = sample_without(np.random.default_rng(5), group, (first, last), n, forbidden, count)
    for code, allowed in enumerate((np.setdiff1d(np.arange(10, 30), banned), np.arange(15, 30))):
        mine = [values for values, g in zip(lists, group, strict=True) if g == code]
        counts = np.bincount(np.concatenate(mine), minlength=last)
        assert counts.sum() == counts[allowed].sum() == len(mine) * count
        freedom = len(allowed) - 1
        # Far beyond the mean plus six deviations of chi-square; draws without replacement vary less.
        assert chi_square(counts[allowed]) < freedom + 6 * np.sqrt(2 * freedom)


def test_pairs_of_items_are_as_likely():
    # Without replacement every pair is drawn equally often, not only every item.
    lists = sample_without(np.random.default_rng(1), np.zeros(6000, np.int64), (0, 6), 6, np.array([0]), 2)
    pairs = np.array([sorted(values) for values in lists])
    counts = np.bincount(pairs[:, 0] * 6 + pairs[:, 1])
    counts = counts[counts > 0]
    assert len(counts) == 10
    assert chi_square(counts) < 9 + 6 * np.sqrt(18)


def test_blocks_keep_the_order_of_the_windows(monkeypatch):
    monkeypatch.setattr(draw, "BLOCK", 3)
    table, windows, items = tables(*SHOP)
    candidates = draw_candidates(table, windows, items, Settings(negatives=5, exclude="history", seed=3))
    for row in candidates.to_pylist():
        target, user = table["item"][row["row"]].as_py(), table["user"][row["row"]].as_py()
        assert all((item < 50) == (target < 50) and item not in HISTORIES[user] for item in row["negatives"])
        assert len(row["negatives"]) == 5
