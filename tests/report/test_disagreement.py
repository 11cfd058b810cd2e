"""Overlap of lists by hand, and the users on whom two models disagree most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecdsr.evaluate.lists import NONE
from lecdsr.report import disagreement as module
from lecdsr.report.disagreement import Ranked, best_on_validation, least_common, overlap_tables, overlaps
from tests.report.small import disagreeing


def lists(*rows, k=3):
    return np.array([[*row, *[NONE] * (k - len(row))] for row in rows], np.int32).reshape(-1, k)


def test_overlaps_by_hand(monkeypatch):
    a = lists((0, 1, 2), (0, 1), (0, 1, 2), (), (5,))
    b = lists((2, 1, 7), (0, 1, 2), (3, 4, 5), (), ())
    assert overlaps(a, b).tolist() == pytest.approx([2 / 3, 2 / 3, 0, 1, 0])
    monkeypatch.setattr(module, "BLOCK", 2)
    assert overlaps(a, b).tolist() == pytest.approx([2 / 3, 2 / 3, 0, 1, 0])
    assert overlaps(a[:0], b[:0]).tolist() == []
    # Lists of different lengths in two tables.
    assert overlaps(lists((0,), k=1), lists((0, 1), k=2)).tolist() == [0.5]


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 6), unique=True, max_size=4)] * 2), max_size=6))
def test_overlap_is_that_of_sets(pairs):
    a, b = (lists(*(pair[side] for pair in pairs), k=4) for side in (0, 1))
    wanted = [len({*x} & {*y}) / max(len(x), len(y)) if x or y else 1 for x, y in pairs]
    assert overlaps(a, b).tolist() == pytest.approx(wanted)
    assert overlaps(b, a).tolist() == overlaps(a, b).tolist()


def test_the_least_common_come_first():
    a = lists((0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1, 2))
    b = lists((0, 1, 2), (3, 4, 5), (3, 4, 5), (0, 4, 5), (6, 7, 8))
    one = Ranked("a", a, np.array([1, 1, 1, 1, 1], np.float32))
    other = Ranked("b", b, np.array([9, 2, 50, 9, 5], np.float32))
    rows, user = np.arange(5), np.array([0, 1, 2, 3, 2])
    # Of the three without a common item the one of rank 50 comes first; its user is not shown twice.
    assert least_common(one, other, rows, user) == [2, 1]
    assert least_common(one, other, np.array([0, 3]), user) == [3, 0]
    assert least_common(one, other, np.array([], int), user) == []


def test_examples_say_what_both_models_recommend():
    found = disagreeing()
    assert found.overlap == {"x": {("popularity", "sasrec"): pytest.approx((2 / 3 + 0) / 2)}}
    first, second = found.examples
    assert (first.user, first.domain, first.common) == ("BERT", "x", 0)
    assert (first.target, first.history) == ("title 4", ["title 9", "title 8", "title 3"])  # the latest first
    assert [(one.model, one.shown_rank) for one in first.listed] == [("sasrec", "1"), ("popularity", "7.5")]
    assert first.listed[0].titles == [("title 4", True), ("title 2", False), ("title 3", False)]
    assert (second.user, second.common) == ("ANNA", 2)
    (table,) = overlap_tables(found, {"x": "Food", "y": "Kitchen"})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["popularity", "–", "0.333"],
        ["sasrec", "0.333", "–"],
    ]


def test_models_by_validation():
    def valid(*values):
        return {"valid": {str(place): {"full": {"ndcg@10": value}} for place, value in enumerate(values)}}

    assert best_on_validation({"a": valid(0.1, 0.2), "b": valid(0.4), "none": {}}) == ["b", "a", "none"]
