"""Custom catalogues: CSV and Parquet files read through a mapping of columns."""

import datetime
import gzip
import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from lecdsr.config.pair import Pair
from lecdsr.core.database import connect
from lecdsr.readers.custom import custom_records
from lecdsr.readers.layouts import find, layout_of
from lecdsr.readers.metadata import MetadataReader
from lecdsr.readers.ratings import create_ratings, read_ratings
from lecdsr.readers.rejected import RejectedLines
from tests.errors import refused

INTERACTIONS = {"file": "{domain}.csv", "user": "who", "item": "sku", "time": "at", "time_unit": "seconds"}
ITEMS = {"file": "{domain}_items.csv", "item": "sku", "title": "name"}


def pair(interactions=None, items=ITEMS, **more):
    mapping = {"interactions": {**INTERACTIONS, **(interactions or {})}, "items": items, **more}
    return Pair(name="own", domains=("tea", "cups"), release="custom", source=("here",), custom=mapping)


def ratings(folder, chosen):
    """Return (item, user, rating, time) of the first domain, and its malformed lines."""
    layout = layout_of(chosen)
    with connect(folder / "spill") as db:
        create_ratings(db, "r")
        rejected = read_ratings(db, find(folder, layout.ratings, "tea"), layout, "r")
        return db.execute("SELECT asin, reviewer, rating, time FROM r ORDER BY row").fetchall(), rejected


def items(folder, chosen, wanted):
    layout, rejected = layout_of(chosen), RejectedLines(folder)
    numbers = {name: number for number, name in enumerate(wanted)}
    with duckdb.connect() as db:
        records = custom_records(db, find(folder, layout.metadata, "tea"), chosen.custom, rejected)
        found = dict(MetadataReader(numbers, 100, rejected).items(records))
    return {name: found[number] for name, number in numbers.items() if number in found}, rejected


@pytest.mark.parametrize("packed", [False, True])
def test_a_csv_in_its_own_way(tmp_path, packed):
    text = '\ufeffstars;sku;at;who;note\n4;"a;1";2020-01-02 00:00:01;7;x\n5;b;2020-01-02T00:00:00+02:00;8;\n'
    text += "five;c;2020-01-02;9;\n5;;2020-01-02;9;\n5;d;some day;9;\n3;e;2020-01-02\n2;f;2020-01-03;8;\n"
    name = "tea.csv.gz" if packed else "tea.csv"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    chosen = pair({"file": "{domain}.csv" + ".gz" * packed, "rating": "stars", "time_unit": "datetime"}, delimiter=";")
    day = int(datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC).timestamp())
    found, rejected = ratings(tmp_path, chosen)
    assert found == [("a;1", "7", 4.0, day + 1), ("b", "8", 5.0, day - 7200), ("f", "8", 2.0, day + 86_400)]
    assert (rejected.bad, rejected.total) == (4, 7)


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("seconds", [90, 91]),
        ("milliseconds", [90_999, 91_000]),
        ("microseconds", [90_999_999, 91_000_000]),
        ("datetime", pa.array([90_000, 91_000], pa.timestamp("ms"))),
        ("datetime", pa.array([90, 91], pa.timestamp("s", tz="Asia/Tokyo"))),
    ],
)
def test_parquet_times_of_every_kind(tmp_path, unit, times):
    table = {"sku": [1, 2], "who": ["u", "v"], "at": times}
    pq.write_table(pa.table(table), tmp_path / "tea.parquet")
    found, rejected = ratings(tmp_path, pair({"file": "{domain}.parquet", "time_unit": unit}))
    assert found == [("1", "u", 5.0, 90), ("2", "v", 5.0, 91)]  # ids are text; without ratings all count 5
    assert rejected.bad == 0


def test_items_of_a_csv_with_categories_in_one_text(tmp_path):
    (tmp_path / "tea_items.csv").write_text("sku,name,shelf\na,<b>Tea</b> &amp; more,Food > Tea\n,none,\nb,,\n")
    chosen = pair(items={**ITEMS, "categories": "shelf", "category_separator": " > "})
    found, rejected = items(tmp_path, chosen, ["a", "b"])
    assert found == {"a": ("Tea & more", "", ["Food", "Tea"], ""), "b": ("", "", [], "")}
    assert (rejected.bad, rejected.total) == (1, 3)


def test_items_of_a_parquet_with_lists_and_numbers_as_ids(tmp_path):
    table = {"sku": [1, 2, 2], "name": ["Tea", None, "Pot"], "shelf": [["Food", "Tea"], None, ["Ware"]]}
    pq.write_table(pa.table(table), tmp_path / "tea_items.parquet")
    chosen = pair(items={**ITEMS, "file": "{domain}_items.parquet", "categories": "shelf"})
    found, _ = items(tmp_path, chosen, ["1", "2"])
    assert found == {"1": ("Tea", "", ["Food", "Tea"], ""), "2": ("Pot", "", ["Ware"], "")}


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    (tmp_path / "tea.csv").write_text("sku,customer,at\na,u,90\n")
    with refused("missing-column", tmp_path / "tea.csv") as caught:
        ratings(tmp_path, pair())
    assert re.findall("'(.*?)'", caught.value.what) == ["who", "sku", "customer", "at"]


def test_a_parquet_that_is_none(tmp_path):
    (tmp_path / "tea.parquet").write_bytes(b"no parquet")
    with refused("broken-file", tmp_path / "tea.parquet"):
        ratings(tmp_path, pair({"file": "{domain}.parquet"}))


@pytest.mark.parametrize(
    "file",
    ["../{domain}.csv", "/tmp/{domain}.csv", "orders.csv", "{domain}.xlsx", "a/../{domain}.csv", "{domain}/x.csv"],
)
def test_a_file_outside_the_source_or_of_no_domain_is_refused(file):
    with pytest.raises(ValidationError) as caught:
        pair({"file": file})
    assert [error["loc"][-1] for error in caught.value.errors()] == ["file"]


def test_mapping_and_release_belong_together():
    with pytest.raises(ValidationError, match="`custom`"):
        Pair(name="own", domains=("a", "b"), release="custom", source=("here",))
    with pytest.raises(ValidationError, match="`custom`"):
        Pair(name="own", domains=("a", "b"), release=2018, source=("here",), custom={"interactions": INTERACTIONS})
