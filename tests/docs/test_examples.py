"""The extensions in the documentation, applied to a copy of the repository as their pages describe."""

import hashlib
import json
import sqlite3
import stat

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from lecdsr.core.files import read_table
from lecdsr.core.schemas import ANSWERS, RANKS


def test_a_model_is_trained_and_ranks(copy):
    """With one file and one name, the model trains, ranks, recommends, explains, exports, and is in the report."""
    copy.extend("model", "fism.py", "lecdsr/models/fism.py")
    copy.set("params.yaml", models=["popularity", "fism"])
    copy.set("pairs/demo.yaml", train={"fism": {"width": 8, "batch_size": 32}})
    assert "all settings are valid" in copy.run("lecdsr", "check")
    copy.stages("settings demo", "train demo fism", "evaluate demo fism", "report demo")
    assert "fism" in (copy.folder / "data/demo/report.html").read_text()
    asin = pq.read_table(copy.folder / "data/demo/sequences/items.parquet")["asin"][0].as_py()
    history = ("--pair", "demo", "--model", "fism", "--history", asin)
    assert len(json.loads(copy.run("lecdsr", "recommend", *history, "-k", "3", "--json"))) > 0
    assert json.loads(copy.run("lecdsr", "explain", *history, "--item", asin, "--json"))["model"] == "fism"
    copy.run("lecdsr", "export", "--pair", "demo", "--model", "fism", "--out", "build/vectors")
    assert pq.read_schema(copy.folder / "build/vectors/items.parquet").field("vector").type.list_size == 8

    ranks = read_table(copy.folder / "data/demo/ranks/fism.parquet", RANKS)
    assert len(ranks) > 100
    metrics = json.loads((copy.folder / "metrics/demo/fism.json").read_text())
    assert 0 < metrics["test"]["x"]["sampled"]["mrr"] < 1
    log = (copy.folder / "metrics/demo/training/fism.csv").read_text().splitlines()
    assert "loss_softmax" in log[0]

    # The score of the module's formula, from the saved weights, gives the rank that was written.
    weights = load_file(copy.folder / "data/demo/models/fism/model.safetensors")
    interactions = pq.read_table(copy.folder / "data/demo/sequences/interactions.parquet")
    row = next(row for row in ranks.to_pylist() if row["split"] == 2)
    items = interactions.filter(interactions["user"].to_numpy() == row["user"])["item"].to_pylist()
    assert items[-1] == row["target"]
    history = items[:-1][-15:]
    query = weights["read.weight"][history].sum(dim=0) / len(history) ** 0.5
    n_x = json.loads((copy.folder / "data/demo/models/fism/config.json").read_text())["n_x"]
    own = slice(0, n_x) if row["domain"] == 0 else slice(n_x, None)
    scores = weights["ranked.weight"][own] @ query + weights["bias"][own]
    target = row["target"] - (own.start or 0)
    others = [i for i in range(len(scores)) if i != target and i + (own.start or 0) not in items[:-1]]
    rank = 1 + sum(float(scores[i] > scores[target]) for i in others)
    assert row["rank_full"] == pytest.approx(rank, abs=1)  # sums in another order may swap neighbours
    assert not torch.equal(weights["read.weight"][:-1], torch.zeros_like(weights["read.weight"][:-1]))


def test_an_encoder_makes_the_vectors(copy):
    copy.extend("encoder", "hashing.py", "lecdsr/embed/hashing.py")
    copy.set("pairs/demo.yaml", embed={"provider": "hashing", "width": 32, "item_text": ["title"]})
    copy.stages("settings demo", "embed demo")
    table = pq.read_table(copy.folder / "data/demo/vectors/items.parquet")
    rows = np.array(table["vector"].to_pylist())
    assert rows.shape[1] == 32
    known = table["known"].to_numpy()
    assert np.allclose(np.linalg.norm(rows[known], axis=1), 1, atol=1e-6)
    titles = pq.read_table(copy.folder / "data/demo/sequences/items.parquet")["title"].to_pylist()
    place = next(i for i, title in enumerate(titles) if title.isascii() and title.replace(" ", "").isalpha())
    wanted = np.zeros(32)
    for word in titles[place].lower().split():
        number = int(hashlib.sha256(word.encode()).hexdigest()[:16], 16)
        wanted[(number >> 1) % 32] += (-1, 1)[number & 1]
    assert rows[place] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)

    again = copy.stages("embed demo")
    assert [line.split()[-1] for line in again.splitlines() if line.startswith("encoded now")] == ["0"]


PROGRAM = """#!/bin/sh
request=$(cat)
echo asked >> "$0.log"
case "$request" in *"$(cat "$0.bad")"*) echo "out of order" >&2; exit 7;; esac
printf 'likes '; printf '%s' "$request" | cksum
"""


def test_a_provider_asks_a_program_and_nothing_twice(copy, tmp_path):
    copy.extend("provider", "command.py", "lecdsr/ask/command.py")
    one_version = {"model": "my-model", "profile_versions": ["training"]}
    copy.set("pairs/demo.yaml", prompts=one_version, ask={"provider": "command", "max_failed_share": 0.5})
    program = tmp_path / "my model"  # a space in its path
    program.write_text(PROGRAM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    copy.stages("settings demo", "prompts demo")
    questions = pq.read_table(copy.folder / "data/demo/questions.parquet").to_pylist()
    bad = json.loads(questions[0]["body"])["messages"][1]["content"].splitlines()
    unlike = next(line for line in bad if line and sum(line in question["body"] for question in questions) == 1)
    (tmp_path / "my model.bad").write_text(unlike)
    command = f"'{program}' --quiet"
    copy.stages("ask demo", LECDSR_LLM_COMMAND=command)

    answers = read_table(copy.folder / "data/demo/answers.parquet", ANSWERS).to_pylist()
    assert [row["reason"] for row in answers if row["text"] is None] == ["command failed: out of order"]
    assert all(row["text"].startswith("likes ") for row in answers if row["text"] is not None)
    asked = len({question["key"] for question in questions})
    assert (tmp_path / "my model.log").read_text().count("asked") == asked
    with sqlite3.connect(tmp_path / "answers/answers.sqlite") as store:
        assert store.execute("SELECT DISTINCT model FROM answers").fetchall() == [("my-model",)]

    (tmp_path / "my model.bad").write_text("nothing has this")
    copy.stages("ask demo", LECDSR_LLM_COMMAND=command)
    assert (tmp_path / "my model.log").read_text().count("asked") == asked + 1
    metrics = json.loads((copy.folder / "metrics/demo/stages/ask.json").read_text())
    assert (metrics["failed"], metrics["provider"], metrics["model"]) == (0, "command", "my-model")


def test_without_a_program_a_message_says_so(copy):
    copy.extend("provider", "command.py", "lecdsr/ask/command.py")
    copy.set("pairs/demo.yaml", ask={"provider": "command"})
    copy.stages("settings demo")
    shown = copy.run("python", "-m", "stages.ask", "--pair", "demo", check=False)
    assert "LECDSR_LLM_COMMAND" in shown
    assert "Traceback" not in shown


def test_a_catalogue_of_your_own_becomes_sequences(copy):
    """With one file and one name, the pair of the page is built from files with its columns."""
    shop = copy.folder.parent / "shop"
    shop.mkdir()
    generator = np.random.default_rng(0)
    for domain in ("Grocery", "Kitchen"):
        lines = ["customer;sku;bought_at;stars"]
        for user in range(30):
            for day, item in enumerate(generator.permutation(20)[:8]):
                lines.append(f"c{user};{domain[0]}{item};2024-01-{day + 1:02d}T0{day}:00:00;{1 + item % 5}")
        (shop / f"orders_{domain}.csv").write_text("\n".join(lines) + "\n")
        rows = [f"{domain[0]}{item};{domain} thing {item};Maker;{domain} > Shelf;Of use." for item in range(20)]
        (shop / f"products_{domain}.csv").write_text("\n".join(["sku;name;maker;shelf;text", *rows]) + "\n")
    (copy.folder / "pairs/shop.yaml").write_text((copy.folder / "examples/catalogue/shop.yaml").read_text())
    assert "all settings are valid" in copy.run("lecdsr", "check")
    copy.set("params.yaml", active=["demo", "shop"])
    copy.stages("settings shop", "download shop", "sequences shop")
    items = pq.read_table(copy.folder / "data/shop/sequences/items.parquet").to_pylist()
    assert items[0]["title"].startswith("Grocery thing")
    assert items[0]["categories"] == ["Grocery", "Shelf"]
    assert pq.read_table(copy.folder / "data/shop/sequences/users.parquet").num_rows == 30
    ratings = pq.read_table(copy.folder / "data/shop/sequences/interactions.parquet")["rating"].to_pylist()
    assert len(ratings) == 30 * 16
    assert set(ratings) == {1, 2, 3, 4, 5}
