"""The stage ``sequences`` on files: a small raw pair, its tables by hand, and the checks that stop it."""

import gzip
import json
import re
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from lecdsr.config.pair import Pair
from lecdsr.core.files import read_table
from lecdsr.core.schemas import INTERACTIONS, ITEMS, TEST, TRAIN, USERS, VALID, WINDOWS
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings
from tests.errors import refused
from tests.sequences.test_filter import BASE

DAY = 86_400
PAIR = Pair(name="small", domains=("Tea", "Cups"), release=2018, source="here")
FOOD_KITCHEN = Path(__file__).parents[3] / "shared" / "data" / "food-kitchen"


class Built(NamedTuple):
    """Tables and metrics that the stage wrote for a pair."""

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    windows: pa.Table
    facts: dict


def built(raw, folder, pair=PAIR, **changed):
    facts = build(pair, settings(**changed), raw, folder, folder / "rejected")
    schemas = {"items": ITEMS, "users": USERS, "interactions": INTERACTIONS, "windows": WINDOWS}
    tables = {name: read_table(folder / f"{name}.parquet", schema) for name, schema in schemas.items()}
    for name, table in tables.items():
        assert table.schema.equals(schemas[name])
    return Built(**tables, facts=facts)


def settings(**changed):
    return Settings(**{**BASE, "min_history": 1, **changed})


@pytest.fixture
def raw(tmp_path):
    """Write the files of two users; B's second day has one item of each domain."""
    tea = [("T2", "A", 0), ("T1", "A", 2), ("T1", "B", 1), ("T3", "B", 3)]
    cups = [("C1", "A", 1), ("C1", "B", 1), ("C2", "B", 2), ("C2", "A", 3)]
    for domain, rows in (("Tea", tea), ("Cups", cups)):
        (tmp_path / f"{domain}.csv").write_text("".join(f"{a},{u},5.0,{t * DAY}\n" for a, u, t in rows))
        with gzip.open(tmp_path / f"meta_{domain}.json.gz", "wt") as file:
            for asin in sorted({row[0] for row in rows} - {"T3"}):
                file.write(json.dumps({"asin": asin, "title": f"<b>{asin}</b> one", "category": ["K"]}) + "\n")
    return tmp_path


def test_tables_by_hand(raw, tmp_path):
    tables = built(raw, tmp_path / "out")
    assert tables.items["asin"].to_pylist() == ["T1", "T2", "T3", "C1", "C2"]
    assert tables.items["title"].to_pylist() == ["T1 one", "T2 one", "", "C1 one", "C2 one"]
    assert tables.users["reviewer"].to_pylist() == ["A", "B"]
    assert tables.interactions["item"].to_pylist() == [1, 3, 0, 4, 0, 3, 4, 2]
    assert tables.interactions["split"].to_pylist() == [TRAIN, TRAIN, VALID, TEST] * 2
    assert tables.items["train_count"].to_pylist() == [1, 1, 0, 2, 0]
    assert tables.facts["test_targets_x"] == tables.facts["test_targets_y"] == 1
    assert tables.facts["items_without_title"] == 1


def test_order_does_not_depend_on_the_order_of_lines_but_for_ties(raw, tmp_path):
    before = built(raw, tmp_path / "before")
    for name in ("Tea", "Cups"):
        lines = (raw / f"{name}.csv").read_text().splitlines()
        (raw / f"{name}.csv").write_text("\n".join(reversed(lines)) + "\n")
    after = built(raw, tmp_path / "after")
    assert [a.equals(b) for a, b in zip(before[:4], after[:4], strict=True)] == [True] * 4


def test_published_counts_are_compared(raw, tmp_path):
    built(raw, tmp_path / "out", expect={"users": 2, "items_x": 3, "mean_length": 4.0})
    with refused("other-counts", "sequences.expect") as caught:
        built(raw, tmp_path / "out", expect={"users": 7144, "items_y": 9})
    differing = re.findall(r"(\w+): [a-z]+ ([\d,]*\d), [a-z]+ (\d+)", caught.value.what)
    assert differing == [("users", "7,144", "2"), ("items_y", "9", "2")]


def test_split_without_targets(raw, tmp_path):
    with refused("no-targets", "sequences.split") as caught:
        built(raw, tmp_path / "out", min_history=3)
    assert "training" in caught.value.what


@pytest.mark.skipif(not FOOD_KITCHEN.exists(), reason=f"no Food–Kitchen data at {FOOD_KITCHEN}")
def test_food_kitchen_has_the_published_counts(tmp_path):
    pair = Pair(
        name="food_kitchen",
        domains=("Grocery_and_Gourmet_Food", "Home_and_Kitchen"),
        release=2018,
        source="there",
    )
    chosen = settings(min_history=2, min_user_domain=5, min_user_total=10, max_length=50)
    facts = build(pair, chosen, FOOD_KITCHEN, tmp_path / "out", tmp_path / "rejected")
    expected = {
        "users": 7144,
        "items_x": 11837,
        "items_y": 16258,
        "interactions": 173548,
        "test_targets_x": 2419,
        "test_targets_y": 4725,
        "training_targets": 144972,
    }
    assert {key: facts[key] for key in expected} == expected
