"""The graph of a query tower gives the model's own queries in ONNX Runtime, for any history, and holds no user."""

import functools
import socket
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.models.layers.profiles import lists_of
from lecdsr.recommend import onnx as onnx_export
from lecdsr.recommend.export import export
from lecdsr.recommend.manifest import read_manifest
from lecdsr.recommend.onnx import GRAPH, WEIGHTS, write_graph
from lecdsr.recommend.recommender import open_recommender
from tests.errors import refused
from tests.models import zoo
from tests.programs import program
from tests.recommend.built import ROOT, TWO_TOWERS, recommender_of, write_pair, written_recommender

N, WITHOUT = zoo.PADDING, zoo.USERS - 1  # the last user has no profile
#: Variants whose graphs have other inputs or other operations, for an export takes seconds. The others are trained
#: differently or read other texts, by the same code.
TOWERS = [
    ("popularity", "counts"), ("content", "whitened"), ("content", "profile"), ("hgn", "ids"), ("sasrec", "text"),
    ("abxi", "ids"), ("lecdsr", "masked"), ("lecdsr", "moe"), ("lecdsr", "as published"), ("lecdsr", "no user text"),
    ("tandem", "default"), ("tandem", "no profile"), ("tandem", "profile whole"),
    ("tandem", "profile in the query only"), ("tandem", "length 1"),
]  # fmt: skip
#: One variant of each model, of which those that read profiles read all that there is.
MODELS = TWO_TOWERS | {"content": "profile"}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def session(folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # refused inputs are part of the tests
    return onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])


@functools.cache
def tower(model, variant):
    """Return a recommender with the graph of its query tower, its facts, and a session that runs it."""
    recommender = recommender_of(model, variant)
    with tempfile.TemporaryDirectory() as folder:
        facts = write_graph(recommender, Path(folder))
        graph = onnx.load(Path(folder) / GRAPH)
        return SimpleNamespace(recommender=recommender, facts=facts, graph=graph, session=session(Path(folder)))


def phrases_of(recommender, row, domain):
    """``[K, D]`` text vectors of what the model reads of a profile for a domain; of a control, those of the control."""
    chosen, profiles = recommender.trained, recommender.info.profiles
    if hasattr(chosen, "user_text"):  # lecdsr
        return recommender.network.profile_vectors[[row]]
    lists = lists_of(profiles, chosen.profile_form, chosen.profile_text, 0)
    return lists.phrases[lists.rows[row, domain]]


def rows_of(count, longest, seed=0):
    """Users, items and days of histories: an empty one, one item, and random ones up to a length."""
    random = np.random.default_rng(seed)
    sizes = [1, 0, longest, *random.integers(0, longest + 1, max(0, count - 3))][:count]
    users = [(place + 2) % zoo.USERS for place in range(count)]
    items = [random.integers(0, N, size) for size in sizes]
    return [(user, item, np.sort(random.integers(0, 12, len(item)))) for user, item in zip(users, items, strict=True)]


def inputs_of(recommender, rows, domain, names, right=False):
    """Inputs of the graph for histories of one domain, padded on the left, or on the right."""
    length = max(1, *(len(items) for _, items, _ in rows))
    found = {"history": np.full((len(rows), length), -1), "days": np.zeros((len(rows), length), np.int64)}
    found["domain"], found["user"] = np.full(len(rows), domain), np.array([user for user, _, _ in rows])
    for place, (_, items, days) in enumerate(rows):
        inside = slice(0, len(items)) if right else slice(length - len(items), length)
        found["history"][place, inside], found["days"][place, inside] = items, days
    if "phrases" in names:
        times = [days * SECONDS_PER_DAY for _, _, days in rows]
        read = recommender._profiles(found["user"].tolist(), times, None)
        lists = [phrases_of(recommender, row, domain) for row in read.row[:, 0].tolist()]
        found["phrases"], found["age"] = torch.stack(lists).numpy(), read.age[:, 0].numpy()
    return {name: found[name] for name in names}


@torch.no_grad()
def wanted(recommender, user, items, days, domain):
    """What the model itself gives for one history: its query, and the phrases of its rerank term."""
    times = days * SECONDS_PER_DAY
    reranks = recommender.network.rerank_vectors()
    found = [recommender.query(user, items, times, domain)]
    if reranks is not None:
        found.append(reranks[1](recommender._read(user, items, times, domain))[0])
    return [part.numpy() for part in found]


def check(one, rows):
    """Compare all outputs for both domains, for both sides of padding."""
    names = list(one.facts["inputs"])
    for domain in (0, 1):
        expected = [wanted(one.recommender, *row, domain) for row in rows]
        for right in (False, True):
            found = one.session.run(None, inputs_of(one.recommender, rows, domain, names, right))
            assert len(found) == len(one.facts["outputs"])
            for place, part in enumerate(found):
                np.testing.assert_allclose(part, np.stack([row[place] for row in expected]), **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "variant"), TOWERS)
def test_queries_are_those_of_the_model_and_no_table_of_users_is_in_the_graph(model, variant):
    one = tower(model, variant)
    for count in (1, 3, 64):
        check(one, rows_of(count, 3 * zoo.LENGTH))
    held = {tuple(table.dims) for table in one.graph.graph.initializer}
    network = one.recommender.network
    tables = dict([*network.named_parameters(), *network.named_buffers()])
    ends = ("phrases.phrases", ".rows", "needs.phrases", "user_embeddings.weight")
    of_users = {name for name in tables if name.endswith(ends)}
    of_users |= {"profile_vectors"} & tables.keys()
    found = {name for name in of_users if tuple(tables[name].shape) in held}
    assert found == ({"user_embeddings.weight"} if one.recommender.user_input == "embedding" else set())


def test_every_model_has_a_graph_in_these_tests():
    assert {model for model, _ in TOWERS} == set(MODELS) == {model for model, _ in zoo.ALL} - {"itemknn"}
    assert {*TOWERS} < {*zoo.ALL}


@pytest.mark.parametrize("longest", [1, 2, zoo.LENGTH, 4 * zoo.LENGTH])
def test_queries_after_histories_of_any_length(longest):
    check(tower("content", "whitened"), rows_of(5, longest))


def test_inputs_are_those_that_the_model_reads():
    one = tower("content", "whitened")
    assert one.facts == {
        "files": [GRAPH],
        "opset": 18,
        "padding": -1,
        "inputs": {"history": {"type": "int64", "shape": ["batch", "length"]}},
        "outputs": {"query": {"type": "float32", "shape": ["batch", 8]}},
        "phrases": None,
    }
    assert [entry.version for entry in one.graph.opset_import if not entry.domain] == [18]
    onnx.checker.check_model(one.graph)


@pytest.mark.slow
def test_inputs_of_other_models():
    inputs = {model: list(tower(model, variant).facts["inputs"]) for model, variant in MODELS.items()}
    assert inputs == {
        "popularity": ["history"],
        "content": ["history", "phrases"],
        "hgn": ["history", "user"],
        "sasrec": ["history"],
        "abxi": ["history"],
        "tandem": ["history", "days", "domain", "phrases", "age"],
        "lecdsr": ["history", "phrases"],
    }
    assert tower("tandem", "no profile").facts["inputs"].keys() == {"history", "days"}
    assert tower("lecdsr", "no user text").facts["inputs"].keys() == {"history", "user"}
    assert tower("tandem", "default").facts["phrases"] == {"read": 3, "of": "list"}
    assert tower("lecdsr", "masked").facts["phrases"] == {"read": 1, "of": "whole profile"}
    assert tower("tandem", "default").facts["outputs"]["rerank"] == {"type": "float32", "shape": ["batch", 3, 8]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("sasrec", {"history": N + 1}),
        ("hgn", {"user": -1}),
        ("hgn", {"user": zoo.USERS}),
        ("tandem", {"domain": -1}),
        ("tandem", {"domain": 2}),
    ],
)
def test_numbers_out_of_range_are_refused(model, wrong):
    one = tower(model, MODELS[model])
    inputs = inputs_of(one.recommender, rows_of(3, 4), 0, list(one.facts["inputs"]))
    one.session.run(None, inputs)
    for name, number in wrong.items():
        inputs[name].reshape(-1)[0] = number
        if name == "history":
            inputs[name][:, -1] = number
    with pytest.raises(InvalidArgument, match=r"out of data bounds|invalid index"):
        one.session.run(None, inputs)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_padding_and_older_items_do_not_matter(data):
    """Padding may stand anywhere; items before the latest that are read, and phrases after the last, do not count."""
    one = tower("tandem", "default")
    items = data.draw(st.lists(st.integers(0, N - 1), max_size=12))
    days = sorted(data.draw(st.lists(st.integers(0, 12), min_size=len(items), max_size=len(items))))
    row = (data.draw(st.integers(0, WITHOUT)), np.array(items, np.int64), np.array(days, np.int64))
    domain = data.draw(st.integers(0, 1))
    names = list(one.facts["inputs"])
    inputs = inputs_of(one.recommender, [row], domain, names)
    expected = one.session.run(None, inputs)
    pairs = list(zip(items[-zoo.LENGTH :], days[-zoo.LENGTH :], strict=True))
    for _ in range(data.draw(st.integers(not pairs, 5))):
        pairs.insert(data.draw(st.integers(0, len(pairs))), (data.draw(st.sampled_from([-1, -7, N])), 99))
    inputs["history"], inputs["days"] = (np.array([column], np.int64) for column in zip(*pairs, strict=True))
    extra = data.draw(st.integers(0, 2))
    noise = np.ones((1, extra, inputs["phrases"].shape[2]), np.float32)
    inputs["phrases"] = np.concatenate([inputs["phrases"], noise], axis=1)
    for found, part in zip(one.session.run(None, inputs), expected, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_an_unknown_profile_is_a_profile_of_zeros():
    one = tower("tandem", "profile in the query only")
    assert (
        one.recommender.info.profiles.unknown == one.recommender._profiles([WITHOUT], [np.arange(3)], None).row.item()
    )
    check(one, [(WITHOUT, np.array([1, 7, 2]), np.array([1, 2, 3]))])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "domains"),
    [
        *(("popularity", "both"), ("tandem", "both")),
        *((model, "own") for model in ("hgn", "sasrec", "lecdsr")),
    ],
)
def test_the_best_items_are_those_that_the_command_recommends(tmp_path, monkeypatch, model, domains):
    """From the exported files alone, for the users of the pair."""
    monkeypatch.chdir(tmp_path)
    recommender = written_recommender(tmp_path, model, MODELS[model], domains)
    out = tmp_path / "out"
    facts = export(recommender, {"pair": "demo", "model": model}, out, onnx=True)
    assert read_manifest(out, [GRAPH]) == facts
    assert not list(out.glob(".query-*"))
    assert domains == "both" or "domain" in facts["onnx"]["inputs"]
    items, run = pq.read_table(out / "items.parquet").to_pandas(), session(out)
    for user in range(zoo.USERS):
        history, times = recommender.history(user)
        for domain in (0, 1):
            rows = [(user, history, times // SECONDS_PER_DAY)]
            found = run.run(None, inputs_of(recommender, rows, domain, list(facts["onnx"]["inputs"])))
            scores = np.stack(items["vector"]) @ found[0][0] + items["bias"].to_numpy()
            if facts["rerank_term"]:
                texts = np.stack(pq.read_table(out / "rerank-items.parquet").to_pandas()["vector"])
                scores += np.maximum(0, (texts @ found[1][0].T).max(axis=1))
            free = (items["domain"] == "xy"[domain]).to_numpy() & ~items["item"].isin(history).to_numpy()
            best = np.argsort(-np.where(free, scores, -np.inf), kind="stable")[: min(3, free.sum())]
            lines = recommender.recommend(user, history, times, domain, 3)
            assert best.tolist() == [line.item for line in lines]
            np.testing.assert_allclose(scores[best], [line.score for line in lines], **CLOSE)


def test_an_export_without_a_graph_leaves_none_behind(tmp_path):
    recommender = recommender_of("popularity", "counts")
    (tmp_path / GRAPH).touch()
    (tmp_path / WEIGHTS).touch()
    assert export(recommender, {}, tmp_path)["onnx"] is None
    assert not (tmp_path / GRAPH).exists()
    assert not (tmp_path / WEIGHTS).exists()


@pytest.mark.slow
def test_the_example_recommends_what_the_model_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path, {"content": "whitened"})
    recommender = open_recommender(Artefacts("demo"), "content")
    export(recommender, {}, tmp_path / "out", onnx=True)
    history = [6, 0, 7]
    command = [program("python"), ROOT / "examples/query.py", "out", *(f"B{item:09d}" for item in history), "-k", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    lines = [recommender.recommend(0, np.array(history), np.zeros(3, np.int64), domain, 3) for domain in (0, 1)]
    assert [row[:2] for row in found] == [["xy"[code], line.asin] for code in (0, 1) for line in lines[code]]


@pytest.mark.slow
def test_weights_that_do_not_fit_into_one_file_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 0)
    recommender = recommender_of("content", "whitened")
    facts = export(recommender, {}, tmp_path, onnx=True)
    assert facts["onnx"]["files"] == [GRAPH, WEIGHTS]
    assert read_manifest(tmp_path, [GRAPH, WEIGHTS]) == facts
    rows = rows_of(3, 9)
    (found,) = session(tmp_path).run(None, inputs_of(recommender, rows, 0, ["history"]))
    np.testing.assert_allclose(found, np.stack([wanted(recommender, *row, 0)[0] for row in rows]), **CLOSE)


def test_nothing_is_printed_or_fetched(tmp_path, monkeypatch, capfd, recwarn):
    def refuse(*arguments):
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    write_graph(recommender_of("popularity", "counts"), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_model_that_is_no_graph(tmp_path):
    recommender = recommender_of("popularity", "counts")
    recommender.network.queries = lambda histories: torch.ones(int(histories.sequence.sum()), 1)
    with refused("no-graph", "lecdsr.models.popularity.Popularity"):
        write_graph(recommender, tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with refused("no-onnx", "--onnx"):
        write_graph(recommender_of("popularity", "counts"), tmp_path)
    assert not list(tmp_path.iterdir())
