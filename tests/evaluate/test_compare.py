"""Comparisons computed by hand: means over targets, users and seeds, refusals, and conclusions."""

import json
import math
import re

import numpy as np
import pyarrow as pa
import pytest

from lecdsr.core.schemas import TEST, VALID
from lecdsr.evaluate.compare import Comparison, Options, Side, compare
from lecdsr.evaluate.compare_tables import conclusions, legend, to_json, to_markdown, to_tables
from lecdsr.evaluate.metrics import mean_over_users
from lecdsr.evaluate.slices import HISTORY, SLICES, inside
from tests.errors import refused
from tests.evaluate.rank_tables import random_ranks, ranks

FULL = Options(TEST, ("full",), ("mrr",))


def side(name, *tables):
    return Side(name, [f"{name}{number}" for number in range(1, len(tables) + 1)], list(tables))


def test_by_hand():
    """User 0 has two targets in X, users 1 and 2 have one each; A has two seeds, B one."""
    places = [(0, 0, 3, 9), (0, 0, 4, 9), (1, 0, 3, 9), (2, 0, 5, 9)]

    def table(*given):
        return ranks([(*place, rank) for place, rank in zip(places, given, strict=True)])

    a = side("a", table(1, 2, 4, 1), table(1, 1, 2, 2))
    b = side("b", table(2, 2, 4, 4))
    (row,) = compare([Comparison(a, b)], FULL)
    first = [(1 + 1 / 2) / 2, 1 / 4, 1]
    second = [1, 1 / 2, 1 / 2]
    other = [1 / 2, 1 / 4, 1 / 4]
    assert (row.domain, row.slice, row.protocol, row.metric) == ("x", "all", "full", "mrr")
    assert (row.users, row.targets) == (3, 4)
    assert row.a.mean == pytest.approx(2 / 3)  # both seeds: (3/4 + 1/4 + 1) / 3 and (1 + 1/2 + 1/2) / 3
    assert row.a.deviation == pytest.approx(0)
    assert row.b.mean == pytest.approx(1 / 3)
    assert row.b.deviation is None
    differences = (np.array(first) + second) / 2 - other  # 3/8, 1/8, 1/2
    assert row.paired.difference == pytest.approx(1 / 3)
    assert row.paired.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    # With two degrees of freedom p = 1 - t / √(2 + t²).
    t = row.paired.effect_size * math.sqrt(3)
    assert row.paired.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert row.p_holm == row.paired.p  # one test


def test_deviation_over_seeds():
    rows = [(0, 0, 3, 9)]
    a = side("a", *(ranks([(*rows[0], rank)]) for rank in (1, 2, 4)))
    (row,) = compare([Comparison(a, side("b", ranks([(*rows[0], 1)])))], FULL)
    assert row.a == pytest.approx((7 / 12, np.std([1, 1 / 2, 1 / 4], ddof=1)))
    assert row.paired.p is None  # one user
    assert row.p_holm is None
    assert row.better is None


def test_means_are_those_of_the_metrics():
    table = random_ranks(3, 1)
    rows = compare(
        [Comparison(side("a", table), side("b", random_ranks(1, 2)))], Options(VALID, metrics=("ndcg@10", "mrr"))
    )
    assert len(rows) == 8
    for row in rows:
        domain = {"x": 0, "y": 1}[row.domain]
        chosen = (table["split"].to_numpy() == VALID) & (table["domain"].to_numpy() == domain)
        column = table[f"rank_{row.protocol}"].to_numpy()[chosen]
        users = table["user"].to_numpy()[chosen].astype(np.int64)
        assert row.a.mean == pytest.approx(mean_over_users(column, users)[row.metric])


def test_better_method_is_found_and_sides_are_told_apart():
    good, bad = side("good", random_ranks(4, 1)), side("bad", random_ranks(1, 2))
    options = Options(TEST)
    forth, back = compare([Comparison(good, bad)], options), compare([Comparison(bad, good)], options)
    assert {row.better for row in forth} == {"a"}
    assert {row.better for row in back} == {"b"}
    for one, other in zip(forth, back, strict=True):
        assert one.paired.difference == -other.paired.difference
        assert (one.p_holm, one.a) == (other.p_holm, other.b)
    assert conclusions([Comparison(good, bad)], forth) == ["good is better than bad in x and y."]
    assert conclusions([Comparison(bad, good)], back) == ["good is better than bad in x and y."]


def test_equal_methods():
    table = random_ranks(2, 1)
    comparison = Comparison(side("a", table), side("b", table))
    rows = compare([comparison], Options(TEST, slices=("training",)))
    assert all(row.paired.difference == 0 and row.paired.p == row.p_holm == 1 for row in rows)
    assert conclusions([comparison], rows) == ["Whether a or b is better, the data cannot tell."]
    json.dumps(to_json([comparison], rows, Options(TEST)), allow_nan=False)


def test_order_of_seeds_and_of_rows_is_nothing():
    tables = [random_ranks(2, seed) for seed in (1, 2, 3)]
    other = [tables[2].sort_by([("rank_full", "ascending")]), tables[0], tables[1]]
    rows = compare([Comparison(side("a", *tables), side("b", *other))], Options(TEST))
    assert all(row.paired.difference == 0 and row.p_holm == 1 for row in rows)


def test_correction_is_over_all_of_the_call():
    comparisons = [Comparison(side("a", random_ranks(2.5, 1)), side("b", random_ranks(2, seed))) for seed in (2, 3)]
    together = compare(comparisons, Options(TEST))
    alone = compare(comparisons[:1], Options(TEST))
    assert len(together) == 2 * len(alone)
    for row, same in zip(alone, together[: len(alone)], strict=True):
        assert row.paired == same.paired
        assert row.p_holm <= same.p_holm
    assert [row.p_holm for row in alone] != [row.p_holm for row in together[: len(alone)]]


def test_slices_by_hand():
    a = [(0, 0, 1, 0, 1), (1, 0, 2, 1, 2), (2, 0, 3, 4, 4), (3, 0, 4, 5, 1), (4, 0, 5, 20, 1), (4, 1, 9, 19, 1)]
    b = [(*row[:4], 2) for row in a]
    rows = compare([Comparison(side("a", ranks(a)), side("b", ranks(b)))], FULL._replace(slices=("training",)))
    found = {(row.domain, row.slice): (row.users, row.a.mean) for row in rows}
    assert found == {
        ("x", "all"): (5, pytest.approx(3.75 / 5)),
        ("x", "0"): (1, 1),
        ("x", "1–4"): (2, pytest.approx(3 / 8)),
        ("x", "5–19"): (1, 1),
        ("x", "20+"): (1, 1),
        ("y", "all"): (1, 1),
        ("y", "5–19"): (1, 1),
    }


def test_slices_of_users_and_days_by_hand():
    rows = [(user, 0, user, 9, user + 1) for user in range(4)]
    facts = {"history_own": [4, 5, 9, 20], "day_tied": [True, False, False, False]}
    comparison = Comparison(side("a", ranks(rows, **facts)), side("b", ranks(rows, **facts)))
    found = {row.slice: row.a.mean for row in compare([comparison], FULL._replace(slices=("history", "ties")))}
    assert found == {
        "all": pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        "history 0–4": 1,
        "history 5–9": pytest.approx((1 / 2 + 1 / 3) / 2),
        "history 20+": 1 / 4,
        "tied": 1,
        "untied": pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3),
    }


@pytest.mark.parametrize("slices", [SLICES, HISTORY])
def test_every_number_of_interactions_is_in_one_slice(slices):
    count = np.arange(200, dtype=np.int32)
    assert (sum(inside(count, bounds).astype(int) for bounds in slices.values()) == 1).all()


def test_ranks_that_do_not_know_the_history():
    unknown = ranks(ROWS, history_own=[-1, -1, -1])
    rows = compare([Comparison(side("a", ranks(ROWS)), side("b", unknown))], FULL)
    assert all(row.paired.difference == 0 for row in rows)
    rows = compare([Comparison(side("a", unknown), side("b", unknown))], FULL._replace(slices=("history",)))
    assert {row.slice for row in rows} == {"all"}


ROWS = [(0, 0, 3, 7, 1.0), (1, 1, 8, 2, 2.0), (2, 0, 3, 7, 5.0)]


def changed(place, column, value):
    names = ("user", "domain", "target", "train_count", "rank")
    rows = [list(row) for row in ROWS]
    rows[place][names.index(column)] = value
    return ranks([tuple(row) for row in rows])


DIFFERENT = {
    "fewer": (ranks(ROWS[:2]), r"a1 \D*3 \D*b1 \D*2"),
    "another user": (changed(1, "user", 4), "user 1 with item 8"),
    "another item": (changed(2, "target", 5), r"\b1 \D*a1 .*user 2 with item 3"),
    "another count": (changed(0, "train_count", 8), "the training interactions of the item"),
    "another domain": (changed(0, "domain", 1), "the domain of the target"),
    "another history": (ranks(ROWS, history_own=[1, 1, 2]), "the length of the history in the target's domain"),
    "other days": (ranks(ROWS, day_tied=[True, False, False]), "shares a day"),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_targets_are_refused(kind):
    table, words = DIFFERENT[kind]
    with refused("other-targets") as caught:
        compare([Comparison(side("a", ranks(ROWS)), side("b", table))], FULL)
    assert re.search(words, caught.value.what)


def test_a_seed_with_other_targets_is_refused():
    with refused("other-targets") as caught:
        compare([Comparison(side("a", ranks(ROWS), ranks(ROWS[:2])), side("b", ranks(ROWS)))], FULL)
    assert all(name in caught.value.what for name in ("a1", "a2"))


def test_only_the_split_asked_for_must_agree():
    other = pa.concat_tables([ranks(ROWS), ranks(ROWS[:1], VALID)])
    assert compare([Comparison(side("a", ranks(ROWS)), side("b", other))], FULL)


def test_split_without_targets():
    with refused("no-targets", "--split") as caught:
        compare([Comparison(side("a", ranks(ROWS)), side("b", ranks(ROWS)))], FULL._replace(split=VALID))
    assert "valid" in caught.value.what


def mixed():
    """A is much better in X; in Y both are equal."""
    a, b = random_ranks(4, 1), random_ranks(1, 2)
    in_y = a["domain"].to_numpy() == 1
    columns = {}
    for name in ("rank_full", "rank_sampled"):
        columns[name] = np.where(in_y, random_ranks(1, 3)[name].to_numpy(), a[name].to_numpy())
    for name, values in columns.items():
        a = a.set_column(a.column_names.index(name), name, pa.array(values, pa.float32()))
    return Comparison(side("new*", a), side("old", b))


def test_conclusion_tells_domains_apart():
    comparison, options = mixed(), Options(TEST)
    rows = compare([comparison], options)
    assert conclusions([comparison], rows) == ["new* is better than old in x; in y the data cannot tell."]


def test_conclusion_names_rows_where_a_domain_is_of_two_minds():
    comparison, options = mixed(), Options(TEST)
    rows = compare([comparison], options)
    rows = [row._replace(p_holm=1.0) if (row.domain, row.metric) == ("x", "hr@10") else row for row in rows]
    assert conclusions([comparison], rows) == [
        "new* is better than old in x (full ndcg@10, sampled ndcg@10); "
        "in x (full hr@10, sampled hr@10) and y the data cannot tell."
    ]


def test_markdown_and_table_and_json_hold_the_same():
    comparison, options = mixed(), Options(TEST, ("full",), ("mrr",))
    rows = compare([comparison], options)
    x, y = rows
    text = to_markdown([comparison], rows, options)
    assert "A = new\\*, B = old" in text
    assert f"| x | full | mrr | 150 | {x.a.mean:.4f} | {x.b.mean:.4f} | {x.paired.difference:+.4f} |" in text
    assert legend(rows) in text
    assert "2 tests" in text
    (table,) = to_tables([comparison], rows, options)
    assert list(table.columns[3].cells) == ["150", "150"]
    assert list(table.columns[6].cells) == [f"{row.paired.difference:+.4f}" for row in rows]
    found = to_json([comparison], rows, options)
    assert found["tests"] == 2
    (comparison,) = found["comparisons"]
    assert comparison["a"] == {"name": "new*", "seeds": ["new*1"]}
    assert [row["better"] for row in comparison["rows"]] == ["a", None]
    assert comparison["rows"][1]["p_holm"] == y.p_holm
    assert comparison["rows"][1]["interval"] == [y.paired.low, y.paired.high]
