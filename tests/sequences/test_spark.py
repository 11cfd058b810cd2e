"""Spark gives the same rows as DuckDB: filters are compared by row, the whole stage byte by byte."""

import importlib.util
import shutil
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from lecdsr.config.load import load_block
from lecdsr.config.pair import Pair
from lecdsr.download.synthetic import Settings as Synthetic
from lecdsr.download.synthetic import generate
from lecdsr.sequences import engine as engines
from lecdsr.sequences import spark
from lecdsr.sequences.build import build
from lecdsr.sequences.filter import apply_filters
from lecdsr.sequences.settings import Settings
from tests.errors import refused
from tests.sequences.test_filter import BASE, DAY, left, ratings

HERE = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
needs_spark = pytest.mark.skipif(not HERE, reason="no Java, or `pip install -e '.[spark]'` was not run")
TABLES = ("items", "users", "interactions", "windows")


@pytest.fixture(autouse=True)
def few_partitions(monkeypatch):
    """Reduce the number of tasks: a few thousand rows need no 200 tasks."""
    monkeypatch.setitem(spark.SETTINGS, "spark.sql.shuffle.partitions", "3")


def engine(name, rows, spill):
    db = duckdb.connect()
    db.register("source", ratings(rows))
    db.execute("CREATE TABLE ratings AS SELECT * FROM source")
    spill.mkdir(exist_ok=True)
    return engines.choose_engine(name, db, spill)


def random_rows(seed, n=3_000):
    """Make interactions with unusual names, many repeats and ties."""
    rng = np.random.default_rng(seed)
    names = ["a", "B", "é", "茶", "a b", "'q'", "z,9", "🙂"]
    users = [f"{names[n % 8]}{n}" for n in rng.zipf(1.4, 400) % 60]
    chosen = rng.integers(0, len(users), n)
    return [
        (users[u], int(d), f"{names[i % 8]}{i}", int(t) * DAY)
        for u, d, i, t in zip(
            chosen, rng.integers(0, 2, n), rng.zipf(1.3, n) % 200, rng.integers(0, 40, n), strict=True
        )
    ]


@pytest.mark.slow
@needs_spark
@pytest.mark.parametrize("overlap", ["only", "prefer"])
def test_filters_leave_the_same_rows(tmp_path, overlap):
    rows = random_rows(7)
    changed = {"overlap": overlap, "min_item": 3, "min_user_domain": 2, "min_user_total": 6, "max_length": 20}
    chosen = Settings(**{**BASE, "repeats": "first", **changed})
    found = {}
    for name in ("duckdb", "spark"):
        one = engine(name, rows, tmp_path / name)
        found[name] = (apply_filters(one, chosen), left(one))
    assert found["spark"] == found["duckdb"]
    assert 0 < len(found["spark"][1]) < len(rows)


@pytest.mark.slow
@needs_spark
def test_the_whole_stage_gives_the_same_bytes(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    raw.mkdir()
    sizes = {"users": 200, "items_x": 60, "items_y": 60, "interactions_per_user": 14, "bad_lines": 0}
    generate(raw, ("A", "B"), Synthetic(seed=3, **sizes))
    pair = Pair(name="small", domains=("A", "B"), release=2018, source="here")
    monkeypatch.chdir(Path(__file__).parents[2])
    chosen = load_block("sequences", Settings, "demo").model_copy(update={"split": "temporal"})
    facts = {}
    for name in ("duckdb", "spark"):
        folder = tmp_path / name
        facts[name] = build(pair, chosen.model_copy(update={"engine": name}), raw, folder, tmp_path / "rejected")
        assert {path.name for path in folder.iterdir()} == {f"{table}.parquet" for table in TABLES}
    assert facts["spark"] == facts["duckdb"]
    for table in TABLES:
        one, other = (tmp_path / name / f"{table}.parquet" for name in ("duckdb", "spark"))
        assert one.read_bytes() == other.read_bytes(), table


def test_without_spark_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with refused("not-installed") as caught:
        engine("spark", random_rows(1, 50), tmp_path)
    assert "duckdb" in caught.value.do
