"""Significance tests compared with hand calculation, closed forms, scipy, and simulation."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lecdsr.evaluate.significance import (
    bootstrap_interval,
    effect_size,
    holm,
    p_value,
    paired,
    smallest_detectable,
)

METRIC = st.sampled_from([0.0, 1.0, 0.5, 1 / math.log2(3), 1 / math.log2(11)])
USERS = arrays(np.float64, st.integers(1, 30), elements=METRIC)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_three_users_by_hand():
    # Mean 1, deviation 1: d_z = 1, t = √3, and with two degrees of freedom p = 1 - t / √(2 + t²).
    found = paired(np.array([0.0, 1.0, 2.0]))
    assert found.difference == 1
    assert found.effect_size == 1
    assert found.p == pytest.approx(1 - math.sqrt(3 / 5))
    assert found.detectable == pytest.approx((1.959964 + 0.841621) / math.sqrt(3), abs=1e-6)


def test_two_users_by_hand():
    # Mean 2, deviation √2, t = 2; with one degree of freedom p = 1 - 2/π · arctan t.
    differences = np.array([1.0, 3.0])
    assert effect_size(differences) == pytest.approx(math.sqrt(2))
    assert p_value(differences) == pytest.approx(1 - 2 / math.pi * math.atan(2))
    assert p_value(-differences) == p_value(differences)


def test_p_as_scipy_has_it():
    generator = np.random.default_rng(5)
    a, b = generator.random((2, 40))
    assert p_value(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_interval_of_two_users():
    # Resamples have the means 0, 1/2 and 1 with 1/4, 1/2 and 1/4: both ends of 95 % are at the extremes.
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0, 1)


@pytest.mark.parametrize(("users", "ones"), [(50, 10), (30, 15), (400, 12)])
def test_interval_of_hits_is_that_of_the_binomial(users, ones):
    # Of U draws from differences of 0 and 1, how many are 1 is binomial; half a step for chance in the draws.
    differences = np.r_[np.ones(ones), np.zeros(users - ones)]
    exact = stats.binom.ppf([0.025, 0.975], users, ones / users) / users
    np.testing.assert_allclose(bootstrap_interval(differences), exact, atol=0.5 / users)


def test_interval_does_not_move():
    differences = np.random.default_rng(1).normal(0, 1, 60)
    assert bootstrap_interval(differences, 500) == bootstrap_interval(differences, 500)
    assert bootstrap_interval(differences, 500) != bootstrap_interval(differences, 500, seed=2)


def test_interval_needs_little_memory():
    differences = np.random.default_rng(1).normal(0, 1, 20_000)
    bootstrap_interval(differences[:100], 10)  # what is imported late
    tracemalloc.start()
    bootstrap_interval(differences, 2_000)  # 320 MB at once, as 64-bit places
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_interval_covers_the_truth():
    # Hits of 80 users in 400 samples: as skewed as such metrics are. 95 % is meant; three deviations are 3.3 %.
    generator = np.random.default_rng(7)
    truth = 0.3 - 0.2
    covered = 0
    for _ in range(400):
        differences = (generator.random(80) < 0.3).astype(float) - (generator.random(80) < 0.2)
        low, high = bootstrap_interval(differences, 400)
        covered += low <= truth <= high
    assert 0.90 <= covered / 400 <= 0.985


def test_p_is_small_as_often_as_it_says():
    generator = np.random.default_rng(8)
    false = sum(p_value(generator.normal(0, 1, 30)) <= 0.05 for _ in range(1_000))
    assert 25 <= false <= 75


def test_detectable_difference_is_detected_four_times_in_five():
    generator = np.random.default_rng(9)
    shift = smallest_detectable(np.random.default_rng(0).normal(0, 1, 200_000)) * math.sqrt(200_000 / 100)
    found = sum(p_value(generator.normal(shift, 1, 100)) <= 0.05 for _ in range(1_000))
    assert 740 <= found <= 860


def test_no_difference():
    found = paired(np.zeros(10))
    assert found == (0, 0, 0, 0, 1, None)


@pytest.mark.parametrize("differences", [[0.5], [0.5, 0.5, 0.5]])
def test_too_little_to_tell(differences):
    found = paired(np.array(differences))
    assert found.difference == 0.5
    assert (found.effect_size, found.p, found.detectable) == (None, None, None)
    assert (found.low is None) == (len(differences) == 1)


@given(USERS, st.randoms(use_true_random=False))
def test_sides_change_places(a, random):
    b = a.copy()
    random.shuffle(b)
    one, other = paired(a - b, 200), paired(b - a, 200)
    assert one.difference == -other.difference
    assert one.p == other.p
    assert one.detectable == other.detectable
    assert one.effect_size == (None if other.effect_size is None else -other.effect_size)
    if one.low is not None:
        np.testing.assert_allclose([one.low, one.high], [-other.high, -other.low], atol=1e-12)
    assert not any(value is not None and not math.isfinite(value) for value in one)


@given(USERS)
def test_interval_lies_within_the_differences(values):
    low, high = bootstrap_interval(values, 200)
    if len(values) > 1:
        assert values.min() - 1e-12 <= low <= high <= values.max() + 1e-12


def test_holm_by_hand():
    # 0.005 · 4, 0.01 · 3, 0.03 · 2, and 0.04 · 1 is raised to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6, 0.7]) == [1, 1, 1]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_does_not_count_what_is_no_test():
    assert holm([None, 0.01, None, 0.04]) == pytest.approx([None, 0.02, None, 0.04])


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_properties(values, random):
    adjusted = holm(values)
    assert all(p <= q <= min(1, p * len(values)) or q == 1 for p, q in zip(values, adjusted, strict=True))
    assert [q for _, q in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)
    shuffled = list(range(len(values)))
    random.shuffle(shuffled)
    assert holm([values[place] for place in shuffled]) == [adjusted[place] for place in shuffled]


@given(P_VALUES)
def test_holm_rejects_as_step_by_step(values):
    """Apply Holm's rule in its usual form: from the smallest p-value on, stop at the first that is not small enough."""
    rejected = set()
    for done, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if values[place] * (len(values) - done) > 0.05:
            break
        rejected.add(place)
    assert {place for place, value in enumerate(holm(values)) if value <= 0.05} == rejected
