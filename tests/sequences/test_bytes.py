"""The same raw files give the same bytes: in two runs, with one or two threads, with and without spilling."""

import hashlib
from pathlib import Path

import pytest

from lecdsr.config.load import load_block
from lecdsr.config.pair import Pair
from lecdsr.download.synthetic import Settings as Synthetic
from lecdsr.download.synthetic import generate
from lecdsr.sequences import engine
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings
from tests.errors import refused

PAIR = Pair(name="small", domains=("A", "B"), release=2018, source="here")
NAMES = ("items", "users", "interactions", "windows")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    sizes = {"users": 20_000, "items_x": 4_000, "items_y": 4_000, "interactions_per_user": 14, "bad_lines": 5}
    generate(folder, PAIR.domains, Synthetic(seed=3, **sizes))
    return folder


@pytest.fixture
def chosen(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    return load_block("sequences", Settings, "demo").model_copy(update={"min_item": 5})


def made(raw, chosen, folder):
    """Return the hashes of the tables, and the metrics."""
    facts = build(PAIR, chosen, raw, folder, folder.parent / "rejected")
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.parquet" for name in NAMES)
    return {name: hashlib.sha256((folder / f"{name}.parquet").read_bytes()).hexdigest() for name in NAMES}, facts


@pytest.mark.slow
def test_runs_threads_memory_and_chunks_do_not_change_a_byte(raw, chosen, tmp_path, monkeypatch):
    expected = made(raw, chosen, tmp_path / "first")
    assert expected[1]["interactions"] > 200_000
    for number, changed in enumerate([{"LECDSR_THREADS": "1"}, {"LECDSR_THREADS": "2", "LECDSR_MEMORY_LIMIT": "90MB"}]):
        with monkeypatch.context() as patched:
            for name, value in changed.items():
                patched.setenv(name, value)
            assert made(raw, chosen, tmp_path / str(number)) == expected, changed
    monkeypatch.setattr(engine, "BATCH", 1_000)
    assert made(raw, chosen, tmp_path / "chunks") == expected


def test_too_little_memory_is_told_and_leaves_nothing(raw, chosen, tmp_path, monkeypatch):
    monkeypatch.setenv("LECDSR_MEMORY_LIMIT", "1MB")
    with refused("not-enough-memory") as caught:
        build(PAIR, chosen, raw, tmp_path / "out", tmp_path / "rejected")
    assert "LECDSR_MEMORY_LIMIT" in caught.value.do
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("LECDSR_MEMORY_LIMIT", "much"), ("LECDSR_THREADS", "none")])
def test_a_wrong_bound_of_the_machine_is_named(raw, chosen, tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with refused("wrong-value", name):
        build(PAIR, chosen, raw, tmp_path / "out", tmp_path / "rejected")
