"""The reading guide: who leads, and which differences it calls better, unsure or level."""

import pyarrow.compute as pc
import pytest

from lecdsr.core.schemas import VALID
from lecdsr.report.guide import BETTER, LEVEL_WITH, UNSURE, leader, outcome, pair_tables, paired_tests, sentences
from tests.errors import refused
from tests.evaluate import rank_tables as tables

DOMAINS = {"x": "Food", "y": "Kitchen"}


@pytest.fixture(scope="module")
def ranks():
    # b is far better than a; c is almost a.
    return {name: tables.random_ranks(quality, seed) for name, quality, seed in (("a", 1, 1), ("b", 9, 2), ("c", 1, 3))}


@pytest.fixture(scope="module")
def tests(ranks):
    return paired_tests(ranks, 300)


def test_every_two_models_are_tested_in_every_domain(tests):
    assert tests.pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(row.comparison, row.domain) for row in tests.rows] == [(i, d) for i in range(3) for d in DOMAINS]
    assert {(row.protocol, row.metric) for row in tests.rows} == {("full", "ndcg@10")}


def test_the_leader_is_compared_with_the_others_from_its_own_side(tests):
    best, mean, others = leader(tests, "x")
    rows = {tests.pairs[row.comparison]: row for row in tests.rows if row.domain == "x"}
    assert best == "b"
    assert mean == rows["b", "c"].a.mean == rows["a", "b"].b.mean
    assert {one.model for one in others} == {"a", "c"}
    for one in others:
        assert one.difference > 0
        assert one.low < one.difference < one.high
        assert one.outcome == BETTER
    assert [one.difference for one in others] == sorted(one.difference for one in others)
    turned = next(one for one in others if one.model == "a")
    found = rows["a", "b"].paired
    assert (turned.difference, turned.low, turned.high) == (-found.difference, -found.high, -found.low)


def test_outcomes(tests):
    row = tests.rows[0]
    assert row.better

    def changed(low, high, p):
        return outcome(row._replace(paired=row.paired._replace(low=low, high=high), p_holm=p))

    assert changed(0.1, 0.2, 0.01) == BETTER
    assert changed(-0.2, -0.1, 0.01) == BETTER
    assert changed(0.1, 0.2, 0.06) == UNSURE
    # An interval that includes zero is level, whatever the t-test says.
    assert changed(-0.1, 0.2, 0.01) == LEVEL_WITH
    assert changed(0.0, 0.2, 0.01) == LEVEL_WITH
    assert changed(None, None, None) == LEVEL_WITH  # a single user


def test_a_sentence_for_each_domain_and_one_on_how_sure_they_are(tests, ranks):
    food, kitchen, certainty = sentences(tests, list(ranks), DOMAINS)
    for name, told in (("Food", food), ("Kitchen", kitchen)):
        assert told.startswith(f"In {name}, `b` ")
        assert told.count(BETTER) == 1
        assert "`a`" in told
        assert "`c`" in told
        assert LEVEL_WITH not in told
    assert "6 tests" in certainty
    assert "evel" not in certainty  # no word is explained that is not used


def test_models_with_equal_ranks_are_level(ranks):
    same = {"a": ranks["a"], "again": ranks["a"]}
    found = paired_tests(same, 100)
    food, _, certainty = sentences(found, list(same), DOMAINS)
    assert LEVEL_WITH in food
    assert "Level" in certainty
    assert BETTER not in food
    (table, _) = pair_tables(found, DOMAINS)
    assert table.rows[0][-1].text == "level"


def test_tables_of_the_tests(tests):
    food, kitchen = pair_tables(tests, DOMAINS)
    assert "Food" in food.caption
    assert "Kitchen" in kitchen.caption
    assert [row[0].text for row in food.rows] == ["a − b", "a − c", "b − c"]
    assert food.rows[0][-1].text == "b is better"
    assert food.rows[0][2].text.startswith("−")
    assert food.rows[2][-1].text == "b is better"


@pytest.mark.parametrize("names", [[], ["a"]])
def test_nothing_to_compare(ranks, names):
    some = {name: ranks[name] for name in names}
    found = paired_tests(some, 100)
    assert found.rows == []
    assert len(sentences(found, names, DOMAINS)) == 1
    assert pair_tables(found, DOMAINS) == []


def test_no_test_targets(ranks):
    some = {name: table.filter(pc.equal(table["split"], VALID)) for name, table in ranks.items()}
    found = paired_tests(some, 100)
    assert found.rows == []
    assert len(sentences(found, list(some), DOMAINS)) == 1


def test_other_targets_are_refused(ranks):
    with refused("other-targets"):
        paired_tests({"a": ranks["a"], "b": tables.random_ranks(1, 1, 60)}, 100)
