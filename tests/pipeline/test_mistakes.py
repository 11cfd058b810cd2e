"""Wrong settings as the first stages refuse them: called in process, on existing data."""

import importlib
import os
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.core.paths import Artefacts
from tests.errors import refused
from tests.repository import ROOT, shrink

PIPELINE = list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
#: The stages that read the settings and the raw data, in the order in which dvc runs them.
FIRST = PIPELINE[: PIPELINE.index("sequences") + 1]


def run_first_stages() -> None:
    for stage in FIRST:
        importlib.import_module(f"stages.{stage}").main("demo")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Write a folder with settings, the raw data of the tiny demo, and its sequences."""
    folder = tmp_path_factory.mktemp("sequences")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "pairs", folder / "pairs")
    shrink(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_first_stages()
    return folder


@pytest.fixture
def folder(sequences, tmp_path, monkeypatch):
    """Copy this folder and change into it."""
    shutil.copytree(sequences, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = [
    ("params.yaml", "min_item: 5", "min_itme: 5", "unknown-key", "params.yaml: sequences.min_itme", ["'min_item'"]),
    (
        "params.yaml", "max_length: 50", "max_length: many", "wrong-value", "params.yaml: sequences.max_length",
        ["'many'", "integer"],
    ),
    (
        "pairs/demo.yaml", "min_item: 1", "min_user_total: 100000", "empty-filter", "sequences.min_user_total",
        ["'min_user_total'"],
    ),
    (
        "pairs/demo.yaml", "min_item: 1", "split: half", "wrong-value", "pairs/demo.yaml: sequences.split",
        ["'half'", "'temporal'"],
    ),
    ("pairs/demo.yaml", "release: 2018", "release: 2019", "wrong-value", "pairs/demo.yaml: release", ["2019", "2018"]),
    ("pairs/demo.yaml", "source: synthetic", "source: nowhere", "missing-folder", "nowhere", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "right", "wrong", "code", "where", "words"), MISTAKES, ids=[row[2].strip() for row in MISTAKES]
)
def test_a_mistake_is_named_and_harms_nothing(folder, file, right, wrong, code, where, words):
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    tables, raw = contents(Artefacts("demo").sequences), contents(Artefacts("demo").raw)
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    with refused(code) as caught:
        run_first_stages()
    assert caught.value.where.removeprefix(f"{folder}{os.sep}") == where.replace("/", os.sep)
    assert all(word in caught.value.what for word in words)
    assert contents(Artefacts("demo").sequences) == tables
    path.write_text(text, encoding="utf-8")
    run_first_stages()
    assert contents(Artefacts("demo").sequences) == tables
    assert contents(Artefacts("demo").raw) == raw
