"""Checkpoint files: their content, the training they belong to, and files that cannot be used."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from lecdsr.models.saved import build
from lecdsr.train import checkpoint
from lecdsr.train.checkpoint import Checkpoints, difference
from lecdsr.train.trainer import train
from tests.errors import refused
from tests.models.settings import sasrec_settings, shared_settings
from tests.tiny import circle, info, sequences

N = 12
SETTINGS = sasrec_settings(width=8, layers=1, heads=1, history_length=6, batch_size=8)
#: What the first format had in its header and, by these names, in its tensors.
FORMER_HEADER = {"rests_on": json.dumps({"model": "sasrec"}), "facts": json.dumps({"epoch": 3, "step": 0, "log": []})}
FORMER_TENSORS = {"model.weight": torch.ones(2), "best.weight": torch.ones(2), "draws": torch.zeros(4)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LECDSR_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", "0")
    (tmp_path / "toy").mkdir()
    return tmp_path / "toy"


def learn(checkpoints):
    walks = circle(N)
    data, shared = info(N, N, len(walks)), shared_settings(device="cpu", epochs=2, patience=2)
    network = build("sasrec", SETTINGS, data, 1)
    return train(network, sequences(walks, N), data, SETTINGS, shared, torch.device("cpu"), checkpoints)


def words(capsys):
    return " ".join("".join(capsys.readouterr()).split())


def test_a_state_comes_back_as_it_was_written():
    checkpoints = Checkpoints("toy", "sasrec", {"seed": 1})
    state = {"a": torch.arange(3), "b": {"c.d": torch.ones(2, 2), "e": {}}, "f": None, "g": [{"h": 0.1}], "i": 7}
    checkpoints.write(state)
    found = checkpoints.read()
    assert found.keys() == state.keys()
    assert torch.equal(found.pop("a"), torch.arange(3))
    assert torch.equal(found["b"].pop("c.d"), torch.ones(2, 2))
    assert found == {"b": {"e": {}}, "f": None, "g": [{"h": 0.1}], "i": 7}


def test_every_input_names_the_file():
    first = Checkpoints("toy", "sasrec", {"data": {"items": "1"}})
    others = [
        Checkpoints("toy", "sasrec", {"data": {"items": "2"}}),
        Checkpoints("toy", "lecdsr", {"data": {"items": "1"}}),
        Checkpoints("other", "sasrec", {"data": {"items": "1"}}),
        first.with_inputs(seed=1),
        first.with_inputs(seed=2),
    ]
    assert len({first.path, *(other.path for other in others)}) == 6
    assert first.with_inputs(a=1, b=2).path == first.with_inputs(b=2).with_inputs(a=1).path


def test_a_checkpoint_of_the_former_format_is_ignored_and_named(folder, capsys):
    path = folder / "sasrec-0123456789abcdef.safetensors"
    save_file(FORMER_TENSORS, path, metadata=FORMER_HEADER)
    assert len(learn(Checkpoints("toy", "sasrec", {})).log) == 3
    printed = words(capsys)
    assert str(path) in printed
    assert "earlier version" in printed
    assert "resuming" not in printed
    assert path.exists()


def test_a_checkpoint_of_the_former_format_in_the_place_of_ours_is_refused():
    checkpoints = Checkpoints("toy", "sasrec", {})
    save_file(FORMER_TENSORS, checkpoints.path, metadata=FORMER_HEADER)
    with refused("earlier-version", checkpoints.path):
        learn(checkpoints)
    assert checkpoints.path.exists()


def test_another_format_is_another_file(monkeypatch):
    ours = Checkpoints("toy", "sasrec", {})
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    assert Checkpoints("toy", "sasrec", {}).path != ours.path


def test_a_checkpoint_that_was_renamed_is_refused():
    written, ours = (Checkpoints("toy", "sasrec", {"seed": seed}) for seed in (1, 2))
    written.write({"a": torch.ones(1)})
    written.path.rename(ours.path)
    with refused("other-training", ours.path) as caught:
        ours.read()
    assert re.findall(r"seed \D*(\d)\D*(\d)", caught.value.what) == [("1", "2")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("step"),
        lambda state: state.update(era=1),
        lambda state: state["model"].pop("item_embeddings.weight"),
        lambda state: state["generators"].pop("dropout"),
        lambda state: state.update(generators=None),
    ],
    ids=["a field less", "a field more", "a weight less", "a generator less", "no generators"],
)
def test_a_state_of_other_code_is_a_clear_error(spoil):
    checkpoints = Checkpoints("toy", "sasrec", {})
    learn(checkpoints)
    state = checkpoints.read()
    spoil(state)
    checkpoints.write(state)
    with refused("other-state", checkpoints.path):
        learn(checkpoints)


@pytest.mark.parametrize("text", ["-1", "soon", "nan"])
def test_an_interval_that_is_no_time(monkeypatch, text):
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", text)
    with refused("wrong-value", "LECDSR_CHECKPOINT_S"):
        Checkpoints("toy", "sasrec", {})


def test_no_more_than_three_differences_are_told():
    theirs, ours = (dict.fromkeys("abcde", value) for value in (1, 2))
    *first, more = difference({"x": theirs}, {"x": {**ours, "a": 1}}).split("; ")
    assert [re.findall(r"x\.\w|\d", part) for part in first] == [[f"x.{key}", "1", "2"] for key in "bcd"]
    assert re.findall(r"\d+", more) == ["1"]
