import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecdsr.embed.texts import mean_cosine, share_of_duplicates


@given(st.integers(2, 12), st.integers(0, 1000))
def test_mean_cosine_is_the_mean_over_pairs(count, seed):
    rows = np.random.default_rng(seed).standard_normal((count, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    pairs = [float(rows[a] @ rows[b]) for a in range(count) for b in range(a)]
    assert mean_cosine(rows) == pytest.approx(np.mean(pairs), abs=1e-5)


def test_of_nothing_and_of_one():
    assert mean_cosine(np.zeros((0, 3), np.float32)) == mean_cosine(np.ones((1, 3), np.float32)) == 0.0
    assert share_of_duplicates([]) == 0.0
    assert share_of_duplicates(["a", "b", "a", "c"]) == 0.5
