"""The model for production: trained on every interaction, with what was chosen, apart from what is evaluated."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import stages.evaluate
import stages.recommend
import stages.refit
import stages.train
from lecdsr.config.resolve import write_resolved
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, read_table, write_json
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, TRAIN, WINDOWS
from lecdsr.data.everything import info_for, windows_of_everything
from lecdsr.data.load import load_info, load_pair_data
from lecdsr.models.saved import load
from lecdsr.recommend.everyone import model_folder
from lecdsr.refit.refit import chosen_schedule, load_everything
from tests import tiny
from tests.models.settings import settings_for
from tests.train.toy import N, write_pair

SMALL = "{width: 8, history_length: 6, heads: 1}"
PARAMS = f"""
active: [toy]
models: [sasrec, popularity, tandem]
recommend: {{k: 3, users_per_block: 7}}
train:
  sasrec: {SMALL}
  tandem: {SMALL}
  shared: {{epochs: 3, patience: 1, device: cpu, refit: REFIT}}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The pair `toy` with resolved settings; call it with the value of `refit`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECDSR_CHECKPOINTS", str(tmp_path / "kept"))
    write_pair(tmp_path)
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "toy.yaml").write_text("domains: [Food, Kitchen]\nrelease: 2018\nsource: here\n")

    def resolve(refit: str) -> Artefacts:
        (tmp_path / "params.yaml").write_text(PARAMS.replace("REFIT", refit))
        write_resolved("toy")
        return Artefacts("toy")

    return resolve


def test_every_interaction_but_the_first_is_a_target():
    table = tiny.interactions([[0, 6, 1], [2], [3, 7]], 6)
    split = tiny.windows_table([(TRAIN, 0, 0, 1, 2)])
    windows = windows_of_everything(table, split).to_pylist()
    assert [tuple(row.values()) for row in windows] == [(TRAIN, 0, 0, 1, 3, False), (TRAIN, 2, 4, 5, 6, False)]


def test_the_history_before_the_first_target_is_as_long_as_in_training():
    table = tiny.interactions([[0, 6, 1], [2, 3]], 6)
    split = tiny.windows_table([(TRAIN, 0, 0, 2, 3)])
    assert [tuple(row.values()) for row in windows_of_everything(table, split).to_pylist()] == [(0, 0, 0, 2, 3, False)]


def test_counts_and_days_are_those_of_everything(toy):
    artefacts = toy("all")
    data = load_everything(artefacts, settings_for("sasrec"), 1)
    table = read_table(artefacts.interactions, INTERACTIONS)
    assert data.info.train_counts.tolist() == np.bincount(table["item"], minlength=2 * N).tolist()
    assert set(data.sequences.split) == {TRAIN}
    targets = int((data.sequences.end - data.sequences.first_target).sum())
    assert targets == len(table) - len(set(table["user"].to_pylist()))
    own = load_everything(artefacts, settings_for("sasrec", domains="own"), 1).sequences
    assert (np.diff(np.unique(own.user * 2 + (own.target >= N), return_counts=True)[1]) == 0).all()


@pytest.mark.parametrize("model", ["sasrec", "popularity", "tandem"])
def test_production_is_trained_on_everything_and_used(toy, model):
    artefacts = toy("all")
    stages.train.main("toy", model)
    before = {path.name: path.read_bytes() for path in artefacts.model(model).iterdir()}
    stages.refit.main("toy", model)
    folder = artefacts.production(model)
    assert {path.name: path.read_bytes() for path in artefacts.model(model).iterdir()} == before
    config, trained = read_json(folder / "config.json"), read_json(artefacts.model(model) / "config.json")
    assert config["trained_on"] == "all"
    assert "valid_ndcg@10" not in config
    assert all(config[key] == trained[key] for key in ("model", "settings", "seed", "schedule", "best_epoch"))
    assert len(trained["schedule"]) <= trained["best_epoch"] or model == "popularity"
    table = read_table(artefacts.interactions, INTERACTIONS)
    info = load_info(artefacts, table)
    network = load(folder, info_for(config, info, table))
    if model == "popularity":
        assert network.counts.tolist() == np.bincount(table["item"], minlength=2 * N).tolist()
    else:
        evaluated = load(artefacts.model(model), info)
        assert not torch.equal(network.item_embeddings.weight, evaluated.item_embeddings.weight)
    assert model_folder(artefacts, model) == folder
    assert model_folder(artefacts, model, evaluated=True) == artefacts.model(model)
    stages.recommend.main("toy", model)
    rows = pq.read_table(artefacts.recommendations(model))
    assert len(rows) == 40 * 2 * 3
    assert "trained on every interaction" in (folder / "card.md").read_text().lower()


def test_none_writes_no_model(toy):
    artefacts = toy("none")
    stages.train.main("toy", "popularity")
    stages.refit.main("toy", "popularity")
    assert [path.name for path in artefacts.production("popularity").iterdir()] == ["refit.json"]
    assert json.loads((artefacts.production("popularity") / "refit.json").read_text()) == {"refit": "none"}
    assert model_folder(artefacts, "popularity") == artefacts.model("popularity")


@pytest.mark.parametrize("missing", ["schedule", "best_epoch"])
def test_a_model_without_a_chosen_epoch_is_refused_and_nothing_is_written(toy, missing):
    artefacts = toy("all")
    stages.train.main("toy", "sasrec")
    path = artefacts.model("sasrec") / "config.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != missing})
    with pytest.raises(UserError) as caught:
        stages.refit.main("toy", "sasrec")
    assert all(word in str(caught.value) for word in ("sasrec", "schedule", "dvc repro", "config.json"))
    assert not artefacts.production("sasrec").exists()


def test_schedules_that_cannot_be():
    for wrong in ([], None, "3", [1.5], [[1]], [[1, "2"]], [[1, 1, 1]]):
        with pytest.raises(UserError):
            chosen_schedule({"model": "sasrec", "best_epoch": 2, "schedule": wrong})
    assert chosen_schedule({"model": "popularity", "best_epoch": 0, "schedule": []}) == []


def test_recommendations_of_models_that_are_not_chosen_have_no_rows(toy, monkeypatch):
    artefacts = toy("none")
    path = artefacts.stage_settings("recommend")
    values = read_json(path)
    write_json(path, {**values, "settings": {**values["settings"], "models": ["sasrec"]}})
    stages.recommend.main("toy", "popularity")
    assert len(pq.read_table(artefacts.recommendations("popularity"))) == 0


def test_windows_of_the_split_are_left_as_they_are(toy):
    """What is evaluated reads the split, whatever was refitted."""
    artefacts = toy("all")
    before = load_pair_data(artefacts, "both").sequences
    load_everything(artefacts, settings_for("sasrec"), 1)
    assert np.array_equal(before.split, load_pair_data(artefacts, "both").sequences.split)
    assert set(read_table(artefacts.windows, WINDOWS)["split"].to_pylist()) == {0, 1, 2}
