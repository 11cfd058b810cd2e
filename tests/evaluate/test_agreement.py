"""Estimates of methods, and the agreement of full and sampled ranking, from ranks of a few users by hand."""

import numpy as np
import pytest

from lecdsr.core.schemas import TEST
from lecdsr.evaluate.agreement import agreement
from lecdsr.evaluate.compare import Options, Side, estimate
from tests.evaluate.rank_tables import ranks

OPTIONS = Options(TEST, resamples=500)


def side(name, *seeds):
    """A method from the (full, sampled) ranks of users 0, 1, … in domain x, one list for each seed."""
    tables = []
    for places in seeds:
        full, sampled = zip(*places, strict=True)
        rows = [(user, 0, 5, 0, rank) for user, rank in enumerate(full)]
        tables.append(ranks(rows, rank_sampled=np.array(sampled, float)))
    return Side(name, [f"{name}{number}" for number in range(len(tables))], tables)


def test_estimate_by_hand():
    """Two seeds, two users; HR@10 in full ranking is 1 and 0 under the first seed, 1 and 1 under the second."""
    found = estimate(side("a", [(1, 20), (20, 20)], [(1, 20), (3, 20)]), OPTIONS)
    (one,) = [row for row in found if (row.protocol, row.metric) == ("full", "hr@10")]
    assert (one.domain, one.users, one.mean) == ("x", 2, 0.75)
    assert (one.low, one.high) == (0.5, 1.0)  # all resamples have user 0 twice, user 1 twice, or each once
    (ndcg,) = [row for row in found if (row.protocol, row.metric) == ("full", "ndcg@10")]
    assert ndcg.mean == pytest.approx((1 + (0 + 0.5) / 2) / 2)  # 1 / log2(1 + 3) = 0.5
    assert {row.mean for row in found if row.protocol == "sampled"} == {0.0}
    assert {row.domain for row in found} == {"x"}  # y has no targets


def test_one_user_has_no_interval():
    found = estimate(side("a", [(1, 1)]), OPTIONS)
    assert {(row.users, row.mean, row.low, row.high) for row in found} == {(1, 1.0, None, None)}


def test_agreement_by_hand():
    """For every user a > b > c in full ranking and b > a > c in sampled ranking: two of three pairs are alike."""
    sides = [side("a", [(1, 4)] * 3), side("b", [(2, 3)] * 3), side("c", [(9, 9)] * 3)]
    (one,) = agreement(sides, OPTIONS)
    assert (one.domain, one.users, one.pairs, one.same) == ("x", 3, 3, 2)
    assert one.low == one.high == pytest.approx(2 / 3)


def test_level_methods_agree_if_level_in_both():
    level = [side("a", [(2, 3), (3, 2)]), side("b", [(3, 2), (2, 3)])]
    (one,) = agreement(level, OPTIONS)
    assert one.same == 1
    # One ranking has an order and the other has none.
    (one,) = agreement([side("a", [(2, 3)]), side("b", [(3, 3)])], OPTIONS)
    assert one.same == 0


def test_the_interval_shows_what_rests_on_one_user():
    """User 0 alone makes a better than b in sampled ranking; a third of resamples lack a user of three: 8 / 27."""
    sides = [side("a", [(1, 1), (1, 9), (1, 9)]), side("b", [(2, 9), (2, 8), (2, 8)])]
    (one,) = agreement(sides, OPTIONS)
    assert (one.same, one.low, one.high) == (1, 0.0, 1.0)
