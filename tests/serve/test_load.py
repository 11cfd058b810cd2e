"""What is loaded is what was exported, and everything else is refused with one message."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from lecdsr.core.files import write_table
from lecdsr.recommend.manifest import read_manifest, write_manifest
from lecdsr.serve.load import load_export
from tests.errors import refused
from tests.models import zoo
from tests.recommend.built import TWO_TOWERS
from tests.serve.exported import write_export


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("domains", ["both", "own"])
@pytest.mark.parametrize("model", TWO_TOWERS)
def test_the_model_and_its_pair_come_back(tmp_path, model, domains):
    before, folder = write_export(tmp_path, model, domains)
    export = load_export(folder)
    after = export.recommender
    assert export.names == {"x": "Food", "y": "Kitchen"}
    assert after.trained == before.trained
    assert after.profiles == before.profiles
    for user, history in enumerate(zoo.HISTORIES):
        assert export.items.of(user).tolist() == history
        assert export.owned.of(user).tolist() == sorted(set(history))
        items, times = before.history(user)
        assert times.tolist() == export.times.of(user).tolist()
        for domain in (0, 1):
            torch.testing.assert_close(
                after.scores(user, items, times, domain), before.scores(user, items, times, domain)
            )
    state, again = before.network.state_dict(), after.network.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_the_parts_are_data_and_their_hashes_are_known(folder):
    facts = read_manifest(folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {*facts["parts"], "facts.json"}
    assert {name.rpartition(".")[2] for name in facts["parts"]} == {"parquet", "safetensors", "json"}
    assert not any(pq.read_table(folder / "pair/items.parquet")["description"].to_pylist())


def test_a_graph_of_the_query_tower_may_be_a_part(copied):
    facts = json.loads((copied / "facts.json").read_text())
    (copied / "query.onnx").write_bytes(b"graph")
    parts = facts.pop("parts")
    write_manifest(copied, facts, [*parts, "query.onnx"])
    assert "query.onnx" in load_export(copied).facts["parts"]


def test_a_folder_that_is_none(tmp_path):
    with refused("missing-file", tmp_path / "absent"):
        load_export(tmp_path / "absent")


def test_a_half_written_export(copied):
    (copied / "facts.json").unlink()
    with refused("incomplete-export", copied):
        load_export(copied)


@pytest.mark.parametrize("format", [1, 3, None])
def test_another_version(copied, format):
    facts = json.loads((copied / "facts.json").read_text())
    (copied / "facts.json").write_text(json.dumps({**facts, "format": format}))
    with refused("wrong-format"):
        load_export(copied)


def test_an_export_of_before_there_were_versions(copied):
    facts = json.loads((copied / "facts.json").read_text())
    del facts["format"], facts["parts"]
    (copied / "facts.json").write_text(json.dumps(facts))
    with refused("wrong-format"):
        load_export(copied)


@pytest.mark.parametrize("name", ["items.parquet", "model/model.safetensors", "pair/users.parquet"])
def test_a_part_that_is_missing_cut_or_another(copied, name):
    path = copied / name
    whole = path.read_bytes()
    for content in (None, whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.unlink() if content is None else path.write_bytes(content)
        with refused("other-parts", copied) as caught:
            load_export(copied)
        assert name in caught.value.what
        path.write_bytes(whole)


def test_parts_of_two_exports(copied, tmp_path):
    other = write_export(tmp_path, "sasrec")[1]
    shutil.copy(other / "users.parquet", copied / "users.parquet")
    with refused("other-parts", copied):
        load_export(copied)


def test_parts_that_a_manifest_claims_but_that_do_not_fit(copied, tmp_path):
    """A manifest written over parts of two exports proves nothing, so sizes and ids are compared as well."""
    other = write_export(tmp_path, "sasrec")[1]
    shutil.copy(other / "users.parquet", copied / "users.parquet")
    facts = json.loads((copied / "facts.json").read_text())
    write_manifest(copied, facts, facts.pop("parts"))
    with refused("other-parts"):
        load_export(copied)


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hosts.json", "model/code.py", "a/b/c.json", "model.pkl"])
def test_a_part_outside_the_folder_or_that_could_be_run(copied, name):
    facts = json.loads((copied / "facts.json").read_text())
    facts["parts"][name] = {"bytes": 1, "sha256": "0"}
    (copied / "facts.json").write_text(json.dumps(facts))
    with refused("broken-file"):
        load_export(copied)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 2}', '{"format": 2, "parts": {}}', '{"format": 2, "parts": 5}']
)
def test_a_manifest_that_is_none(copied, content):
    (copied / "facts.json").write_text(content)
    with refused("broken-file"):
        load_export(copied)


def test_an_export_that_is_killed_leaves_no_manifest(tmp_path, monkeypatch):
    recommender, folder = write_export(tmp_path)
    from lecdsr.recommend import export as module

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        module.export(recommender, {}, folder)
    with refused("incomplete-export"):
        load_export(folder)


def test_lists_of_different_lengths(folder):
    owned = load_export(folder).owned
    np.testing.assert_array_equal(np.diff(owned.bounds), [len(set(history)) for history in zoo.HISTORIES])


def test_a_model_that_computes_other_vectors_here(copied):
    """As after a change of its code: the weights are those of the export, the queries are not."""
    users = pq.read_table(copied / "users.parquet")
    vectors = users["vector"].combine_chunks()
    turned = pa.FixedSizeListArray.from_arrays(pc.multiply(vectors.flatten(), 1.1), vectors.type.list_size)
    write_table(copied / "users.parquet", users.set_column(4, "vector", turned), users.schema)
    facts = json.loads((copied / "facts.json").read_text())
    write_manifest(copied, facts, facts.pop("parts"))
    with refused("other-vectors", copied):
        load_export(copied)
