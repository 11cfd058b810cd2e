"""Models of the interface give the same numbers as the stages' functions, and load from a folder unchanged."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import lecdsr
from lecdsr.core.device import choose_device
from lecdsr.core.errors import InputError
from lecdsr.core.schemas import DOMAINS as CODES
from lecdsr.core.schemas import TEST
from lecdsr.evaluate import compare
from lecdsr.evaluate.beyond import beyond_accuracy
from lecdsr.evaluate.evaluate import Settings, metrics_of, rank_held_out
from lecdsr.evaluate.evaluate import held_out as held_out_of
from lecdsr.evaluate.lists import TopItems
from lecdsr.evaluate.metrics_table import BEYOND
from lecdsr.models import saved
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.train.fit import fit
from tests.api.small import DOMAINS, clone, dataset
from tests.errors import refused
from tests.models.settings import settings_for, shared_settings

SMALL = {"sasrec": {"width": 8, "history_length": 6}, "lecdsr": {"width": 8, "hidden": 8, "history_length": 6}}


@pytest.fixture(scope="module")
def data():
    return dataset(negatives=5)


@pytest.fixture(scope="module")
def model(data):
    return lecdsr.models.Tandem(width=8, history_length=6).fit(data, epochs=2, seed=1, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def other(data):
    return lecdsr.models.Popularity().fit(data, quiet=True, device="cpu")


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_those_of_the_pipeline(name, tmp_path, monkeypatch):
    artefacts = clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = settings_for(name, **SMALL[name])
    shared = shared_settings(seed=3, epochs=2, device="cpu")
    fitted = fit(artefacts, name, settings, shared)
    model = lecdsr.Model(name, **SMALL[name])
    model.fit(lecdsr.load_pair("toy"), seed=3, epochs=2, device="cpu", quiet=True)
    assert model.settings == settings
    wanted = fitted.network.state_dict()
    assert model.network.state_dict().keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(model.network.state_dict()[key], value.cpu()), key
    assert model.log.to_dict("records")[-1]["loss"] == fitted.result.log[-1]["loss"]


def test_fitting_leaves_random_numbers_and_settings_of_the_caller(data):
    torch.use_deterministic_algorithms(False)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    lecdsr.models.SASRec(**SMALL["sasrec"]).fit(data, epochs=1, quiet=True)
    assert torch.equal(torch.rand(3), wanted)
    assert not torch.are_deterministic_algorithms_enabled()


def held_out(model, data):
    pair = data.pair_data(model.settings.domains, model.settings.order, 1)
    settings = Settings(exclude_history=True, batch_size=512)
    length = model.settings.history_length
    device = choose_device()
    top, reading = TopItems(held_out_of(pair.sequences), pair.info.n_x), (length, settings, device)
    ranks = rank_held_out(model.network, pair.sequences, pair.info, data.candidates, *reading, top)
    return pair, SimpleNamespace(ranks=ranks, lists=top.table())


def ranks_of(model, data):
    return held_out(model, data)[1].ranks


def test_metrics_are_those_of_the_stage(data, model):
    frame = lecdsr.evaluate(model, data)
    assert list(frame.columns) == ["split", "domain", "protocol", "metric", "value"]
    pair, found = held_out(model, data)
    categories = data.tables.items["categories"]
    wanted = metrics_of(found.ranks, beyond_accuracy(found.lists, pair.sequences, pair.info, categories))
    names = dict(zip(DOMAINS, CODES, strict=True))
    for row in frame.itertuples():
        assert row.value == wanted[row.split][names[row.domain]][row.protocol][row.metric]
    beyond = frame[frame["metric"].isin(BEYOND)]
    assert set(beyond["split"]) == {"test"}
    assert set(beyond["protocol"]) == {"full"}
    assert {"coverage@10", "novelty@10", "diversity@10"} <= set(beyond["metric"])
    assert len(frame) - len(beyond) == 2 * 2 * 2 * 7
    assert not frame.duplicated(["split", "domain", "protocol", "metric"]).any()


def test_comparison_is_that_of_the_command(data, model, other):
    frame = lecdsr.compare(model, other, data, resamples=200)
    sides = [compare.Side(name, [name], [ranks_of(one, data)]) for name, one in (("a", model), ("b", other))]
    rows = compare.compare([compare.Comparison(*sides)], compare.Options(TEST, resamples=200))
    assert len(frame) == len(rows) == 8
    for found, row in zip(frame.to_dict("records"), rows, strict=True):
        assert (found["protocol"], found["metric"]) == (row.protocol, row.metric)
        assert (found["a"], found["b"]) == (row.a.mean, row.b.mean)
        assert tuple(found[key] for key in ("difference", "low", "high", "effect_size", "p")) == row.paired[:5]
        assert (found["p_holm"], found["better"]) == (row.p_holm, row.better)
    assert list(frame.columns) == [
        "domain", "protocol", "metric", "a", "b", "difference", "low", "high", "effect_size", "p", "p_holm", "better",
    ]  # fmt: skip


def test_comparisons_of_seeds_and_slices(data, model, other):
    frame = lecdsr.compare([model, model], [other], data, metrics=["mrr"], slices=["ties"], resamples=50)
    assert {"all", "untied"} <= set(frame["slice"])
    alone = lecdsr.compare(model, other, data, metrics=["mrr"], resamples=50)
    assert frame[frame["slice"] == "all"]["a"].tolist() == pytest.approx(alone["a"].tolist())


@pytest.mark.parametrize(
    "options", [{"split": "train"}, {"metrics": ["ndgc@10"]}, {"protocols": "full"}, {"slices": ["age"]}]
)
def test_wrong_options_of_a_comparison(data, model, other, options):
    with refused("wrong-value", f"compare: {next(iter(options))}", error=InputError):
        lecdsr.compare(model, other, data, **options)


def test_recommendations_are_those_of_the_recommender(data, model):
    frame = model.recommend(["u3", "u7"], k=4)
    assert list(frame.columns) == ["user", "domain", "rank", "item", "score"]
    tables = data.tables
    info = data.pair_data().info
    parts = (tables.items, tables.users, tables.interactions, {}, info, model.network, model.settings)
    recommender = PairRecommender(*parts)
    for user in ("u3", "u7"):
        number = data.user_id(user)
        for code, domain in enumerate(DOMAINS):
            lines = recommender.recommend(number, *recommender.history(number), code, 4)
            mine = frame[(frame["user"] == user) & (frame["domain"] == domain)]
            assert mine["item"].tolist() == [line.asin for line in lines]
            assert mine["score"].tolist() == pytest.approx([line.score for line in lines], rel=1e-5)
            assert mine["rank"].tolist() == list(range(1, len(lines) + 1))


def test_owned_items_are_excluded_unless_asked_for(data, model):
    had = data.interactions
    mine = set(had[had["user"] == "u0"]["item"])
    assert not mine & set(model.recommend(["u0"], k=20)["item"])
    assert mine <= set(model.recommend(["u0"], k=20, include_owned=True)["item"])


def test_all_users_and_one_domain(data, model):
    frame = model.recommend(k=2, domain="kitchen")
    assert set(frame["user"]) == set(data.users["user"])
    assert set(frame["domain"]) == {"kitchen"}
    assert model.recommend(pd.Series(["u1"]), k=1)["user"].tolist() == ["u1", "u1"]
    assert model.recommend([]).empty


def test_anonymous_users(data, model):
    frame = model.recommend(histories={"new": ["food-1", ("kitchen", "kitchen-2")]}, k=3)
    assert frame["user"].eq("new").all()
    assert not {"food-1", "kitchen-2"} & set(frame["item"])
    assert model.recommend(histories=[["food-1"], ["food-2"]], k=1)["user"].tolist() == ["0", "0", "1", "1"]


@pytest.mark.parametrize(
    ("options", "code", "where", "word"),
    [
        ({"users": ["u999"]}, "unknown-user", "user", "'u999'"),
        ({"users": "u1"}, "wrong-value", "users", "'u1'"),
        ({"users": ["u1"], "histories": [["food-1"]]}, "both-given", "users, histories", ""),
        ({"histories": [["food-999"]]}, "unknown-item", "item", "'food-9'"),
        ({"histories": [[("toys", "food-1")]]}, "unknown-domain", "domain", "'toys'"),
        ({"histories": [[]]}, "empty-history", "histories", ""),
        ({"histories": ["food-1"]}, "empty-history", "histories", "'food-1'"),
        ({"domain": "toys"}, "unknown-domain", "domain", "'toys'"),
        ({"k": 0}, "wrong-value", "k", "0"),
    ],
)
def test_wrong_questions(model, options, code, where, word):
    with refused(code, where, error=InputError) as caught:
        model.recommend(**options)
    assert word in caught.value.what


def test_a_model_of_users_cannot_serve_an_anonymous_one(data):
    model = lecdsr.models.HGN(width=4).fit(data, epochs=1, quiet=True)
    with refused("no-anonymous", error=InputError):
        model.recommend(histories=[["food-1"]])


def test_saved_and_loaded(tmp_path, data, model):
    model.save(tmp_path / "folder")
    names = {str(path.relative_to(tmp_path / "folder")) for path in (tmp_path / "folder").rglob("*") if path.is_file()}
    tables = ("items", "users", "interactions", "windows", "candidates", "item_vectors", "profiles", "phrase_vectors")
    wanted = {"model.safetensors", "config.json", "card.md", "data/dataset.json"}
    assert names == wanted | {f"data/{name}.parquet" for name in tables}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    again = lecdsr.load(tmp_path / "folder")
    assert type(again) is lecdsr.models.Tandem
    assert (again.settings, again.config) == (model.settings, model.config)
    pd.testing.assert_frame_equal(again.recommend(k=3), model.recommend(k=3))
    pd.testing.assert_frame_equal(lecdsr.evaluate(again, again.data), lecdsr.evaluate(model, data))
    card = (tmp_path / "folder" / "card.md").read_text()
    value = lecdsr.evaluate(model, data).query("split == 'test' and protocol == 'full' and metric == 'ndcg@10'")
    assert f"{value['value'].iloc[0]:.4f}" in card


def test_saving_replaces_a_model_and_nothing_else(tmp_path, model, other):
    other.save(tmp_path / "folder")
    model.save(tmp_path / "folder")
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["model"] == "tandem"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with refused("other-folder", tmp_path / "mine", error=InputError):
        model.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_failed_save_leaves_the_old_model(tmp_path, model, other, monkeypatch):
    other.save(tmp_path / "folder")

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(saved, "save", fail)
    with pytest.raises(OSError, match="full"):
        model.save(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert lecdsr.load(tmp_path / "folder").model == "popularity"


def test_what_the_stage_trained(tmp_path, monkeypatch):
    clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    data = lecdsr.load_pair("toy")
    model = lecdsr.models.SASRec(**SMALL["sasrec"]).fit(data, epochs=1, quiet=True)
    folder = Path("data/toy/models/sasrec")
    saved.save(folder, model.network, model.config)
    with refused("no-data", folder, error=InputError):
        lecdsr.load(folder)
    again = lecdsr.load(folder, data=data)
    pd.testing.assert_frame_equal(lecdsr.evaluate(again, data), lecdsr.evaluate(model, data))
    with refused("other-data", folder / "config.json", error=InputError) as caught:
        lecdsr.load(folder, data=dataset())
    assert "n_x" in caught.value.what


def test_a_model_of_other_data(model):
    with refused("other-data", "data", error=InputError):
        lecdsr.evaluate(model, dataset(min_item=8))


@pytest.mark.parametrize("use", ["recommend", "save", "evaluate"])
def test_not_fitted(use, data, tmp_path):
    model = lecdsr.models.Popularity()
    calls = {
        "recommend": model.recommend,
        "save": lambda: model.save(tmp_path / "folder"),
        "evaluate": lambda: lecdsr.evaluate(model, data),
    }
    with refused("not-fitted", error=InputError):
        calls[use]()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: lecdsr.models.Tandem(wdith=4), "unknown-key", ["'wdith'", "'width'"]),
        (lambda: lecdsr.models.Tandem(width="wide"), "wrong-value", ["'width'", "'wide'"]),
        (lambda: lecdsr.models.Tandem(width=6, heads=4), "wrong-value", ["heads", "width 6", "4"]),
        (lambda: lecdsr.Model("tandme"), "unknown-model", ["'tandem'"]),
        (lambda: lecdsr.models.Popularity().fit(dataset(), epoch=3), "unknown-key", ["'epoch'", "'epochs'"]),
        (lambda: lecdsr.models.Popularity().fit(dataset(), epochs=0), "wrong-value", ["'epochs'"]),
        (lambda: lecdsr.load("nowhere"), "missing-file", []),
    ],
)
def test_wrong_settings(make, code, words):
    with refused(code, error=InputError) as caught:
        make()
    assert all(word in caught.value.what for word in words)


def test_no_data_set(model):
    for call in (lambda: lecdsr.models.Popularity().fit([1]), lambda: lecdsr.evaluate(model, model)):
        with pytest.raises(TypeError, match="Dataset"):
            call()


def test_texts_that_are_not_there():
    data = dataset(items=None, item_vectors=None)
    for model in (lecdsr.models.Tandem(), lecdsr.models.Content(), lecdsr.models.SASRec(start="text")):
        with refused("no-vectors", error=InputError):
            model.fit(data)
    ids = lecdsr.models.Tandem(item_text="none", content_weight=0, width=8).fit(data, epochs=1, quiet=True)
    assert np.isfinite(ids.recommend(["u1"])["score"]).all()


def test_quiet(data, capsys):
    lecdsr.models.SASRec(**SMALL["sasrec"]).fit(data, epochs=1, quiet=True)
    assert capsys.readouterr().out == ""
    lecdsr.models.SASRec(**SMALL["sasrec"]).fit(data, epochs=1)
    assert "epoch 1" in capsys.readouterr().out
