"""Beyond-accuracy metrics: by hand, against their definitions written as loops, and their bounds."""

import math
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lecdsr.core.schemas import LISTS, TEST
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import from_tables
from lecdsr.evaluate import beyond
from lecdsr.evaluate.beyond import (
    beyond_accuracy,
    category_shares,
    coverage,
    diversity,
    exposure,
    gini,
    in_tail,
    item_facts,
    list_means,
    mean_over_users,
    miscalibration,
    self_information,
)
from lecdsr.evaluate.lists import NONE
from tests.tiny import interactions, windows_table

N, K = 6, 3


def lists(*rows):
    """Lists filled up with NONE."""
    return np.array([[*row, *[NONE] * (K - len(row))] for row in rows], np.int32).reshape(-1, K)


def categories(*rows):
    return pa.chunked_array([pa.array(rows, pa.list_(pa.string()))])


def test_coverage_and_gini_by_hand():
    shown = exposure(lists((0, 1), (0, 2, 1), (0,)), N)
    assert shown.tolist() == [3, 2, 1, 0, 0, 0]
    assert coverage(shown) == 3 / 6
    # Mean absolute difference over all ordered pairs, divided by twice the mean.
    assert gini(shown) == pytest.approx((44 / 36) / (2 * 1))
    assert gini(np.array([4, 4, 4])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4)
    assert gini(np.zeros(3, int)) is None
    assert coverage(np.zeros(0, int)) is None


def test_the_tail_is_all_but_a_fifth_of_the_items():
    assert in_tail(np.array([5, 9, 5, 0, 1])).tolist() == [True, False, True, True, True]
    # A fifth of six is rounded up to two; of the equal counts of 0 and 2 the lower number is in the head.
    assert in_tail(np.array([5, 9, 5, 0, 1, 1])).tolist() == [False, False, True, True, True, True]


def test_self_information_by_hand():
    assert self_information(np.array([8, 4, 2, 1, 1, 0])).tolist() == [1, 2, 3, 4, 4, 4]  # unseen as if seen once
    assert self_information(np.array([0, 0])).tolist() == [0, 0]


def test_means_of_lists_and_of_users():
    values = list_means(lists((0, 1), (2,), ()), np.array([8, 4, 2, 1, 1, 0]))
    assert values[:2].tolist() == [6, 2]
    assert math.isnan(values[2])
    # User 0 has two lists, of which one counts; user 1 has one, user 2 none that counts.
    assert mean_over_users(np.array([6, np.nan, 2, np.nan]), np.array([0, 0, 1, 2])) == 4
    assert mean_over_users(np.array([6, 4, 2.0]), np.array([0, 0, 1])) == (5 + 2) / 2
    assert mean_over_users(np.array([np.nan]), np.array([0])) is None


def test_diversity_by_hand():
    vectors = np.array([[2, 0], [0, 3], [1, 1], [-1, 0], [0, 0], [5, 0]], np.float32)
    found = diversity(lists((0, 5), (0, 1), (0, 3), (0, 1, 2), (0, 4, 1), (0, 4), ()), vectors)
    half = 2**-0.5
    assert found[:5] == pytest.approx([0, 1, 2, 1 - 2 * half / 3, 1])
    assert np.isnan(found[5:]).all()  # fewer than two texts


def test_shares_of_categories():
    shares = category_shares(categories(["a", "b"], [], ["b", "b"], None, ["c", "", None], [""]))
    assert shares.shape[0] == 6
    dense = shares.toarray()[:, shares.toarray().any(axis=0)]
    assert dense.tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert category_shares(categories([], [""], None)) is None
    assert category_shares(categories()) is None


def test_miscalibration_by_hand():
    # Items 0 and 1 are of category a, 2 of b, 3 of both, 4 of none.
    shares = category_shares(categories(["a"], ["a"], ["b"], ["a", "b"], [], ["c"]))
    history = sparse.csr_array(np.array([[3, 0, 1, 0, 0, 0]] * 4 + [[0, 0, 0, 0, 2, 0], [1, 0, 0, 0, 0, 0]]))
    rows = lists((0, 1, 2), (1,), (5,), (3, 4), (0,), (4,))
    found = miscalibration(rows, history, shares)
    p = {"a": 3 / 4, "b": 1 / 4}

    def divergence(q):
        return sum(share * math.log(share / (0.99 * q.get(g, 0) + 0.01 * share)) for g, share in p.items())

    wanted = [divergence(q) for q in ({"a": 2 / 3, "b": 1 / 3}, {"a": 1}, {"c": 1}, {"a": 1 / 2, "b": 1 / 2})]
    assert found[:4] == pytest.approx(wanted)
    assert found[2] == pytest.approx(-math.log(0.01))  # nothing in common
    assert np.isnan(found[4:]).all()  # no category in the history, none in the list
    # The same categories as the history.
    assert miscalibration(lists((0,), (3,)), sparse.csr_array(np.eye(6)[[1, 3]]), shares) == pytest.approx([0, 0])


@st.composite
def worlds(draw):
    """A catalogue of one domain, lists of its items, histories and users."""
    n = draw(st.integers(1, 12))
    k = draw(st.integers(1, 5))
    t = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    rows = np.full((t, k), NONE, np.int32)
    for row in rows:
        size = random.integers(0, min(k, n) + 1)
        row[:size] = random.choice(n, size, replace=False)
    vectors = random.normal(size=(n, 3)).astype(np.float32)
    vectors[random.random(n) < 0.2] = 0
    names = [list(random.choice(list("abcd"), random.integers(0, 3))) for _ in range(n)]
    counts = random.integers(0, 20, n)
    return rows, counts, vectors, names, random.integers(0, 3, (t, n)), random.integers(0, 3, t)


def shares_of(items, weights, names):
    """Share of each category, as the definition says it."""
    total = {}
    for item, weight in zip(items, weights, strict=True):
        own = set(names[item])
        for name in own if weight else ():
            total[name] = total.get(name, 0) + weight / len(own)
    whole = sum(total.values())
    return {name: value / whole for name, value in total.items()} if whole else {}


@given(worlds())
def test_they_are_what_their_definitions_say(world):
    rows, counts, vectors, names, had, _ = world
    items = [[int(item) for item in row if item != NONE] for row in rows]
    shown = exposure(rows, len(counts))
    assert coverage(shown) == len({item for row in items for item in row}) / len(counts)
    if shown.sum():
        differences = sum(abs(int(a) - int(b)) for a in shown for b in shown)
        assert gini(shown) == pytest.approx(differences / (2 * len(shown) ** 2 * shown.mean()), abs=1e-12)
        assert -1e-12 <= gini(shown) <= 1 - 1 / len(shown) + 1e-12
    for name, fact in item_facts(counts).items():
        wanted = [np.mean([fact[item] for item in row]) if row else np.nan for row in items]
        assert list_means(rows, fact) == pytest.approx(wanted, nan_ok=True), name
    found = diversity(rows, vectors)
    shares = category_shares(categories(*names))
    divergences = None if shares is None else miscalibration(rows, sparse.csr_array(had), shares)
    for place, row in enumerate(items):
        texts = [vectors[item].astype(float) for item in row if vectors[item].any()]
        pairs = [1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other) for one, other in combinations(texts, 2)]
        assert found[place] == pytest.approx(np.mean(pairs) if pairs else np.nan, abs=1e-9, nan_ok=True)
        if divergences is None:
            continue
        p, q = shares_of(range(len(counts)), had[place], names), shares_of(row, np.ones(len(row)), names)
        wanted = sum(v * math.log(v / (0.99 * q.get(g, 0) + 0.01 * v)) for g, v in p.items()) if p and q else np.nan
        assert divergences[place] == pytest.approx(wanted, abs=1e-9, nan_ok=True)
        assert not divergences[place] < -1e-12
        assert not divergences[place] > -math.log(0.01) + 1e-9


@given(worlds(), st.randoms(use_true_random=False))
def test_neither_the_order_of_a_list_nor_of_the_items_matters(world, random):
    rows, counts, vectors, _, _, _ = world
    renamed = np.array(random.sample(range(len(counts)), len(counts)))
    turned = np.where(rows == NONE, NONE, renamed[rows])
    for row in turned:
        size = int((row != NONE).sum())
        row[:size] = row[:size][::-1]
    own_counts, own_vectors = np.empty_like(counts), np.empty_like(vectors)
    own_counts[renamed], own_vectors[renamed] = counts, vectors
    shown, other = exposure(rows, len(counts)), exposure(turned, len(counts))
    assert (coverage(shown), gini(shown)) == (coverage(other), gini(other))
    for name in ("popularity@10", "novelty@10", "unseen@10"):
        before, after = (list_means(one, item_facts(c)[name]) for one, c in ((rows, counts), (turned, own_counts)))
        assert before == pytest.approx(after, nan_ok=True)
    assert diversity(rows, vectors) == pytest.approx(diversity(turned, own_vectors), abs=1e-9, nan_ok=True)


# Two domains: X has items 0 … 3, Y has 4 … 6. Users 0 and 1 have a test target in X, user 2 one in Y.
N_X, N_Y = 4, 3
HISTORIES = [[0, 4, 1, 2], [3, 5, 0], [4, 6, 5]]
TARGETS = [(TEST, 0, 0, 3, 4), (TEST, 1, 4, 6, 7), (TEST, 2, 7, 9, 10)]
NAMES = categories(["a"], ["b"], ["a"], ["b"], ["c"], ["c"], ["c"])
TABLE = pa.table({"user": [0, 1, 2], "domain": [0, 0, 1], "target": [2, 0, 5], "items": [[2, 3], [0, 2], [5]]}).cast(
    LISTS
)


def info(vectors=None):
    return DatasetInfo(N_X, N_Y, 3, vectors, None, torch.tensor([3, 1, 0, 1, 2, 2, 0]))


def sequences():
    return from_tables(interactions(HISTORIES, N_X), windows_table(TARGETS))


def test_metrics_of_each_domain_by_hand(monkeypatch):
    vectors = torch.eye(8)
    vectors[7] = 0
    found = beyond_accuracy(TABLE, sequences(), info(vectors), NAMES)
    assert list(found) == ["x", "y"]
    x = found["x"]
    assert x["coverage@10"] == 3 / 4
    assert x["gini@10"] == pytest.approx(gini(np.array([1, 0, 2, 1])))
    assert x["popularity@10"] == (1 / 2 + 3 / 2) / 2
    assert x["tail@10"] == (1 + 1 / 2) / 2  # item 0 alone is the head
    assert x["unseen@10"] == 1 / 2
    assert x["novelty@10"] == pytest.approx((math.log2(5) + (math.log2(5 / 3) + math.log2(5)) / 2) / 2)
    assert x["diversity@10"] == 1
    # Of X, user 0 had 0 and 1, half a and half b, as the list has; user 1 had 3, of b, and is shown a alone.
    assert x["miscalibration@10"] == pytest.approx((0 - math.log(0.01)) / 2)
    assert set(found["y"]) == set(x) - {"diversity@10"}  # a list of one item
    assert found["y"]["miscalibration@10"] == pytest.approx(0)
    monkeypatch.setattr(beyond, "BLOCK", 1)
    assert beyond_accuracy(TABLE, sequences(), info(vectors), NAMES) == found  # block by block


def test_what_is_not_known_is_left_out():
    names = categories(["a"], ["b"], ["a"], ["b"], [], [], [])
    found = beyond_accuracy(TABLE, sequences(), info(), names)
    assert "diversity@10" not in found["x"]
    assert "miscalibration@10" in found["x"]
    assert "miscalibration@10" not in found["y"]
    assert beyond_accuracy(TABLE.slice(0, 0), sequences(), info(), names) == {}
