"""Filters compared with plain Python, on random interactions; and the rule for ties."""

import datetime
from collections import Counter

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.sequences.engine import DuckDB
from lecdsr.sequences.filter import ORDER, apply_filters
from lecdsr.sequences.settings import Settings
from tests.errors import refused

DAY = 86_400
BASE = {
    "engine": "duckdb",
    "overlap": "only",
    "max_bad_share": 0.0,
    "start_date": None,
    "end_date": None,
    "repeats": "all",
    "min_item": 1,
    "min_user_domain": 1,
    "min_user_total": 2,
    "until_stable": True,
    "max_length": None,
    "text_length": 100,
    "split": "leave_one_out",
    "ratios": (0.8, 0.1),
    "window": 15,
    "min_window": 4,
    "cuts": (0.8, 0.9),
    "min_history": 2,
    "expect": None,
}


def ratings(rows):
    """Build the Arrow table of ``rows`` of (reviewer, domain, asin, time), as the readers do."""
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "reviewer": columns[0],
            "domain": pa.array(columns[1], pa.int8()),
            "asin": columns[2],
            "rating": np.full(len(rows), 5.0, np.float32),
            "time": pa.array(columns[3], pa.uint32()),
            "row": pa.array(np.arange(len(rows)), pa.uint32()),
        }
    )


def database(rows):
    db = duckdb.connect()
    db.register("source", ratings(rows))
    db.execute("CREATE TABLE ratings AS SELECT * FROM source")
    return DuckDB(db)


def left(engine):
    query = """SELECT reviewer, interactions.domain, asin, time, row FROM interactions
        JOIN user_ids USING (user) JOIN item_ids USING (item) ORDER BY row"""
    table = pa.concat_tables(engine.batches(query))
    columns = ("reviewer", "domain", "asin", "time")
    return sorted(zip(*(table[name].to_pylist() for name in columns), strict=True))


def oracle(rows, min_item, min_domain, min_total):
    """Compute the k-core by definition: drop users and items with too few interactions until none is left."""
    rows = list(dict.fromkeys(rows))
    while True:
        items = Counter((d, a) for _, d, a, _ in rows)
        rows_1 = [r for r in rows if items[r[1], r[2]] >= min_item]
        domain = Counter((u, d) for u, d, _, _ in rows_1)
        total = Counter(u for u, _, _, _ in rows_1)
        enough = {u for u in total if total[u] >= min_total and min(domain[u, 0], domain[u, 1]) >= min_domain}
        kept = [r for r in rows_1 if r[0] in enough]
        if len(kept) == len(rows):
            return sorted(kept)
        rows = kept


interaction = st.tuples(
    st.sampled_from("abcdefgh"), st.integers(0, 1), st.sampled_from("12345"), st.integers(0, 5).map(lambda d: d * DAY)
)


@settings(deadline=None, max_examples=60)
@given(st.lists(interaction, min_size=1, max_size=80), st.integers(1, 4), st.integers(1, 3), st.integers(2, 6))
def test_core_equals_the_definition(rows, min_item, min_domain, min_total):
    expected = oracle(rows, min_item, min_domain, min_total)
    chosen = Settings(**{**BASE, "min_item": min_item, "min_user_domain": min_domain, "min_user_total": min_total})
    db = database(rows)
    if expected:
        counts = apply_filters(db, chosen)
        assert left(db) == expected
        assert counts["until_stable"]["interactions"] == len(expected)
    else:
        with refused("empty-filter"):
            apply_filters(db, chosen)


def test_filters_once_or_until_stable():
    # Dropping user b takes item 2 below its minimum; only a second round drops it.
    rows = [("a", 0, "1", 0), ("a", 1, "9", 0), ("a", 0, "2", 0), ("b", 0, "2", 0), ("c", 0, "1", 0), ("c", 1, "9", 0)]
    once, stable = database(rows), database(rows)
    apply_filters(once, Settings(**{**BASE, "min_item": 2, "until_stable": False}))
    apply_filters(stable, Settings(**{**BASE, "min_item": 2}))
    assert ("a", 0, "2", 0) not in left(stable)
    assert len(left(stable)) == 4
    # The filter on both domains comes first, so that here one round is enough to lose b.
    assert len(left(once)) == 4


def test_dates_are_whole_days_and_inclusive():
    rows = [(u, d, "1", t * DAY + s) for u in "ab" for d in (0, 1) for t, s in ((1, 0), (2, DAY - 1), (3, 0))]
    db = database(rows)
    apply_filters(
        db, Settings(**{**BASE, "start_date": datetime.date(1970, 1, 2), "end_date": datetime.date(1970, 1, 3)})
    )
    assert {row[3] for row in left(db)} == {DAY, 3 * DAY - 1}


def test_repeats():
    rows = [("a", 0, "1", 2 * DAY), ("a", 0, "1", DAY), ("a", 0, "1", DAY), ("a", 1, "2", 0)]
    every, first = database(rows), database(rows)
    apply_filters(every, Settings(**BASE))
    apply_filters(first, Settings(**{**BASE, "repeats": "first"}))
    assert left(every) == [("a", 0, "1", DAY), ("a", 0, "1", 2 * DAY), ("a", 1, "2", 0)]
    assert left(first) == [("a", 0, "1", DAY), ("a", 1, "2", 0)]


def test_latest_are_kept_by_the_tie_rule():
    # Same day: X before Y, then the order of lines; the latest two of the day are the Y ones.
    rows = [("a", 1, "7", 0), ("a", 0, "1", 0), ("a", 1, "6", 0), ("a", 0, "2", 0)]
    db = database(rows)
    order = pa.concat_tables(db.batches(f"SELECT asin FROM ratings ORDER BY {ORDER}"))["asin"].to_pylist()
    assert order == ["1", "2", "7", "6"]
    apply_filters(db, Settings(**{**BASE, "max_length": 3}))
    assert {row[2] for row in left(db)} == {"2", "7", "6"}


def test_no_shared_users():
    with refused("empty-filter", "sequences.overlap"):
        apply_filters(database([("a", 0, "1", 0), ("b", 1, "2", 0)]), Settings(**BASE))
