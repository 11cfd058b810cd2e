"""Exported vectors give the model's own recommendations, exactly and through an index."""

import json
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lecdsr.core.paths import Artefacts
from lecdsr.recommend.export import export
from lecdsr.recommend.recommender import open_recommender
from tests.errors import refused
from tests.models import zoo
from tests.programs import program
from tests.recommend.built import ROOT, TWO_TOWERS, USER_IDS, write_pair, written_recommender
from tests.recommend.test_every_model import exported_scores


def exported(folder, monkeypatch, model, domains="both"):
    monkeypatch.chdir(folder)
    recommender = written_recommender(folder, model, TWO_TOWERS[model], domains)
    return recommender, export(recommender, {"pair": "demo", "model": model}, folder / "out")


@pytest.mark.parametrize("domains", ["both", "own"])
@pytest.mark.parametrize("model", TWO_TOWERS)
def test_vectors_recommend_what_the_model_does(tmp_path, monkeypatch, model, domains):
    recommender, facts = exported(tmp_path, monkeypatch, model, domains)
    assert json.loads((tmp_path / "out" / "facts.json").read_text()) == facts
    items, users = (pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pandas() for name in ("items", "users"))
    assert items["asin"].tolist() == recommender.items["asin"].to_pylist()
    keys = np.stack(items["vector"])
    assert facts["width"] == keys.shape[1]
    assert facts["biased"] == (model in ("lecdsr", "tandem")) == bool(items["bias"].any())
    two = (domains == "own" and model != "popularity") or model == "tandem"  # which reads the list of a domain
    assert facts["rerank_term"] == (model == "tandem")
    assert users["reviewer"].tolist() == [name for name in USER_IDS for _ in range(1 + two)]
    assert users["domain"].tolist() == (["x", "y"] * 4 if two else ["both"] * 4)
    for row in users.itertuples():
        history, times = recommender.history(row.user)
        assert row.owned.tolist() == sorted(set(zoo.HISTORIES[row.user]))
        for code, key in enumerate("xy"):
            if row.domain not in (key, "both"):
                continue
            inside = items["domain"] == key
            products = exported_scores(tmp_path / "out", row.user, code)
            scores = np.full(len(items), -np.inf)
            scores[inside] = np.where(items["item"][inside].isin(row.owned), -np.inf, products)
            lines = recommender.recommend(row.user, history, times, code, 10)
            np.testing.assert_allclose([scores[line.item] for line in lines], [line.score for line in lines], rtol=1e-4)
            assert np.isfinite(scores).sum() == len(lines)


def enlarge(out):
    """Make a larger catalogue of the same kind, on which an index without biases or lengths would fail."""
    random = np.random.default_rng(0)
    table = pq.read_table(out / "items.parquet").to_pandas()
    large = table.loc[np.repeat(np.arange(len(table)), 100)].reset_index(drop=True)
    large["item"] = np.arange(len(large))
    large["bias"] = random.normal(size=len(large))
    large["vector"] = [vector * random.uniform(0.2, 3) + random.normal(size=len(vector)) for vector in large["vector"]]
    write(large, out / "items.parquet")
    if (out / "rerank-items.parquet").exists():
        texts = pq.read_table(out / "rerank-items.parquet").to_pandas()
        texts = texts.loc[np.repeat(np.arange(len(texts)), 100)].reset_index(drop=True)
        texts["item"] = np.arange(len(texts))
        texts["vector"] = [vector + random.normal(size=len(vector)) for vector in texts["vector"]]
        write(texts, out / "rerank-items.parquet")


def write(frame, path):
    """Write a table with the schema of the file before."""
    pq.write_table(pa.Table.from_pandas(frame, pq.read_schema(path), preserve_index=False), path)


def test_phrases_of_the_profiles_are_there_and_no_others(tmp_path, monkeypatch):
    recommender, facts = exported(tmp_path, monkeypatch, "tandem")
    items, users = (
        pq.read_table(tmp_path / "out" / f"rerank-{name}.parquet").to_pandas() for name in ("items", "users")
    )
    assert items["item"].tolist() == list(range(11))
    profiles, found = recommender.info.profiles, users.groupby(["user", "domain"])["position"].apply(list)
    for user in range(4):
        latest = profiles.before(np.array([user]), np.array([10**9]))[0]  # after the whole history
        for code, key in enumerate("xy"):
            count = int((profiles.lists[latest, code] < len(profiles.vectors) - 1).sum())
            assert found.get((user, key), []) == list(range(1, count + 1)), (user, key)
    assert len(users)
    assert 3 not in set(users["user"])  # who has no profile
    assert facts["score"].endswith("largest item · phrase)")


def test_files_of_another_models_phrases_are_removed(tmp_path, monkeypatch):
    exported(tmp_path, monkeypatch, "tandem")
    assert (tmp_path / "out" / "rerank-users.parquet").exists()
    plain = open_recommender(Artefacts("demo"), "tandem")
    plain.network.phrases = None
    assert export(plain, {}, tmp_path / "out")["rerank_term"] is False
    assert not list((tmp_path / "out").glob("rerank-*"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tandem", "lecdsr"])
def test_index_finds_the_same(tmp_path, monkeypatch, model):
    exported(tmp_path, monkeypatch, model)
    enlarge(tmp_path / "out")
    command = [program("python"), ROOT / "examples" / "ann.py", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"domain {key}: the same top 10 for 4 of 4 users" for key in "xy"]


def test_comparison_sees_a_wrong_index(tmp_path, monkeypatch):
    exported(tmp_path, monkeypatch, "tandem")
    enlarge(tmp_path / "out")
    monkeypatch.syspath_prepend(ROOT / "examples")
    import ann

    assert ann.compare(tmp_path / "out", "x", 4, 10, 256) == (4, 4)
    right = ann.build
    monkeypatch.setattr(ann, "build", lambda keys, effort: right(-keys, effort))
    assert ann.compare(tmp_path / "out", "x", 4, 10, 256) == (0, 4)


def test_the_products_of_an_index_are_the_models_scores(tmp_path, monkeypatch):
    recommender, _ = exported(tmp_path, monkeypatch, "tandem")
    monkeypatch.syspath_prepend(ROOT / "examples")
    import ann

    keys, users = ann.keys_of(tmp_path / "out"), pq.read_table(tmp_path / "out" / "users.parquet").to_pandas()
    for code, key in enumerate("xy"):
        phrases, width = ann.phrases_of(tmp_path / "out", key)
        assert phrases
        for row in users[users["domain"] == key].itertuples():
            queries = ann.queries_of(row.vector, phrases.get(row.user, np.zeros((0, width), np.float32)))
            products = (keys @ queries.T).max(axis=1)
            lines = recommender.recommend(row.user, *recommender.history(row.user), code, 10)
            np.testing.assert_allclose(
                products[[line.item for line in lines]], [line.score for line in lines], rtol=1e-4
            )


def test_a_model_that_is_not_two_tower(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path, {"itemknn": "all neighbours"})
    with refused("no-two-towers"):
        export(open_recommender(Artefacts("demo"), "itemknn"), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nan_and_a_file_in_the_way(tmp_path, monkeypatch):
    recommender, _ = exported(tmp_path, monkeypatch, "sasrec")
    (tmp_path / "file").touch()
    with refused("file-in-the-way", tmp_path / "file"):
        export(recommender, {}, tmp_path / "file")
    with torch.no_grad():
        recommender.network.norm.weight.fill_(float("nan"))
    with refused("nan-score"):
        export(recommender, {}, tmp_path / "out")
    # Without facts.json, the files cannot be mistaken for a complete export.
    assert not (tmp_path / "out" / "facts.json").exists()
