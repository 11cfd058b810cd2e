"""Statistics of counted numbers, against NumPy on the numbers themselves."""

import itertools
import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.card.counts import (
    ValueCounts,
    bands,
    count_by_domain,
    gini,
    head_share,
    histogram,
    quantile,
    rank_curve,
    summary,
)

NUMBERS = st.lists(st.integers(0, 5_000) | st.integers(0, 4), min_size=1, max_size=200)
EMPTY = ValueCounts(np.array([], np.int64), np.array([], np.int64))


def counts(numbers: list[int]) -> ValueCounts:
    return ValueCounts(*np.unique(np.array(numbers, np.int64), return_counts=True))


@given(NUMBERS, st.floats(0, 1))
def test_quantiles(numbers, share):
    assert quantile(counts(numbers), share) == pytest.approx(np.quantile(numbers, share), rel=1e-9, abs=1e-9)


@given(NUMBERS)
def test_summary(numbers):
    found = summary(counts(numbers))
    assert (found["count"], found["min"], found["max"]) == (len(numbers), min(numbers), max(numbers))
    assert found["mean"] == pytest.approx(np.mean(numbers))
    assert found["median"] == pytest.approx(np.median(numbers))


@given(NUMBERS.filter(sum))
def test_gini_is_half_the_relative_mean_difference(numbers):
    values = np.array(numbers, float)
    differences = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(counts(numbers)) == pytest.approx(differences / (2 * values.mean()), abs=1e-9)


@given(NUMBERS.filter(sum), st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_share_of_the_head(numbers, share):
    largest = sorted(numbers, reverse=True)[: math.ceil(round(share * len(numbers), 9))]
    assert head_share(counts(numbers), share) == pytest.approx(sum(largest) / sum(numbers))


@given(NUMBERS)
def test_bands_of_the_tail(numbers):
    values = np.array(numbers)
    assert bands(counts(numbers), (0, 1, 5, 20)) == {
        "0": (values == 0).sum(),
        "1–4": ((values >= 1) & (values < 5)).sum(),
        "5–19": ((values >= 5) & (values < 20)).sum(),
        "20+": (values >= 20).sum(),
    }


@given(NUMBERS)
def test_histogram(numbers):
    found = histogram(counts(numbers))
    edges = found["edges"]
    assert edges == sorted(set(edges))
    inside = [sum(low <= number < high for number in numbers) for low, high in itertools.pairwise(edges)]
    assert found["count"] == inside
    assert sum(inside) == len(numbers)
    assert len(inside) <= 61


@given(NUMBERS)
def test_rank_curve(numbers):
    falling = sorted(numbers, reverse=True)
    found = rank_curve(counts(numbers), points=20)
    assert (found["rank"][0], found["rank"][-1]) == (1, len(numbers))
    assert len(found["rank"]) <= 20
    assert found["value"] == [falling[rank - 1] for rank in found["rank"]]


@settings(deadline=None)  # the first connection loads DuckDB
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=50))
def test_counting_in_the_database(rows):
    numbers = pa.table({name: pa.array([row[i] for row in rows], pa.int64()) for i, name in enumerate(("domain", "n"))})
    with duckdb.connect() as db:
        db.register("numbers", numbers)
        found = count_by_domain(db, "SELECT domain, n AS value FROM numbers")
    for code, name in enumerate("xy"):
        expected = counts([value for domain, value in rows if domain == code])
        assert found[name].value.tolist() == expected.value.tolist()
        assert found[name].frequency.tolist() == expected.frequency.tolist()


def test_nothing_to_count():
    assert quantile(EMPTY, 0.5) is None
    assert gini(EMPTY) is None
    assert head_share(EMPTY, 0.1) is None
    assert set(summary(EMPTY).values()) == {0, None}
    assert histogram(EMPTY) == {"edges": [], "count": []}
    assert rank_curve(EMPTY) == {"rank": [], "value": []}
    assert bands(EMPTY, (0, 1)) == {"0": 0, "1+": 0}


def test_large_numbers_stay_exact():
    many = ValueCounts(np.array([1, 10**6]), np.array([5 * 10**6, 10]))
    assert gini(many) == pytest.approx(1 - 5 * 10**6 / many.total, abs=1e-5)
