"""The data card of a pair counted by hand, written by the stage."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from lecdsr.card.measure import measure, open_tables
from lecdsr.card.plots import plots
from lecdsr.config.pair import Pair
from lecdsr.core.paths import Artefacts
from lecdsr.report.data_card import render
from stages.card import main
from tests.card import hand
from tests.errors import refused

ROOT = Path(__file__).parents[2]
TOY = Pair(name="toy", domains=("Food", "Kitchen"), release=2018, source=("synthetic",))
FILES = ["card.json", "card.md", "gaps.png", "lengths.png", "months.png", "popularity.png"]


@pytest.fixture
def artefacts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Artefacts("toy")


@pytest.fixture
def facts(artefacts):
    hand.write(artefacts)
    return measure(TOY, artefacts, hand.FACTS)


def test_users_and_sizes(facts):
    assert facts["users"] == {"both": 1, "only_x": 2, "only_y": 0, "one_domain_share": 2 / 3}
    assert facts["counts"] == {
        "users": 3, "items_x": 3, "items_y": 2, "interactions_x": 7, "interactions_y": 2,
        "first_day": "2018-01-01", "last_day": "2018-03-12",
    }  # fmt: skip


def test_lengths(facts):
    every = facts["lengths"]["all"]
    assert (every["count"], every["mean"], every["median"], every["max"]) == (3, 3, 3, 4)
    assert every["quantile_0.25"] == 2.5
    assert every["histogram"] == {"edges": [2, 3, 4, 5], "count": [1, 1, 1]}
    assert facts["lengths"]["x"]["mean"] == pytest.approx(7 / 3)
    assert facts["lengths"]["y"]["count"] == 1  # the other two have nothing there


def test_popularity(facts):
    x, y = facts["items"]["x"], facts["items"]["y"]
    assert (x["gini"], y["gini"]) == (pytest.approx(2 / 7), 0)
    assert x["head_share"] == {"1%": pytest.approx(4 / 7), "10%": pytest.approx(4 / 7)}
    assert y["head_share"]["1%"] == 0.5
    assert x["training_tail"] == {"0": 1, "1–4": 2, "5–19": 0, "20+": 0}
    assert y["training_tail_share"] == {"0": 0.5, "1–4": 0.5, "5–19": 0, "20+": 0}
    assert x["by_rank"] == {"rank": [1, 2, 3], "value": [4, 2, 1]}


def test_time_and_ratings(facts):
    assert facts["months"] == {"month": ["2018-01", "2018-02", "2018-03"], "x": [7, 0, 0], "y": [1, 0, 1]}
    x, y = facts["ratings"]["x"], facts["ratings"]["y"]
    assert (x["mean"], x["median"]) == (pytest.approx(26 / 7), 5)
    assert x["count"] == {"1": 1, "2": 1, "3": 1, "4": 0, "5": 4}
    assert (y["mean"], y["median"], y["count"]["5"]) == (4.5, 4.5, 1)
    assert facts["repeat_share"] == {"x": pytest.approx(1 / 7), "y": 0}


def test_texts(facts):
    x, y = facts["texts"]["x"], facts["texts"]["y"]
    assert x["without"] == {"title": 1, "brand": 2, "categories": 2, "description": 3, "all": 0}
    assert x["median_characters"]["title"] == 4.5
    assert x["median_characters"]["categories"] == 3  # "a b"
    assert y["without"] == dict.fromkeys(("title", "brand", "categories", "description", "all"), 2)
    assert set(y["median_characters"].values()) == {None}


def test_splits(facts):
    assert facts["interactions_by_split"] == {
        "train": {"x": 3, "y": 1}, "valid": {"x": 2, "y": 0}, "test": {"x": 2, "y": 1},
    }  # fmt: skip
    assert facts["training_targets"] == {"x": 0, "y": 1}


def test_held_out(facts):
    valid, test = facts["held_out"]["valid"], facts["held_out"]["test"]
    assert (valid["x"]["targets"], valid["x"]["unseen_in_training"], valid["x"]["median_gap_days"]) == (2, 2, 3)
    assert (valid["y"]["targets"], valid["y"]["unseen_share"], valid["y"]["median_gap_days"]) == (0, None, None)
    assert (test["x"]["targets"], test["x"]["unseen_in_training"], test["x"]["median_gap_days"]) == (2, 0, 0.5)
    assert test["x"]["gap_days"] == {"0": 1, "1": 1, "2–7": 0, "8–30": 0, "31–365": 0, "366+": 0}
    assert (test["y"]["unseen_share"], test["y"]["gap_days"]["31–365"]) == (1, 1)


def test_what_the_sequences_wrote_is_kept(facts):
    assert [step["filter"] for step in facts["filters"]] == ["raw", "dates", "max_length"]
    assert facts["training_later_than_test_share"] == 0.125
    assert facts["bad_lines"] == {"ratings_x": 3, "ratings_y": 0}


def test_the_page_says_it(facts):
    page = render(facts)
    for line in (
        "| raw | 1,234,567 | 30 | 50 |",
        "| items with 1–4 interactions | 2 (66.7 %) | 1 (50.0 %) |",
        "| items without brand | 2 (66.7 %) | 2 (100.0 %) |",
        "| median length in characters, title | 4.50 | – |",
        "| targets, valid | 2 | 0 |",
        "| test targets whose item has no training interactions | 0 (0.0 %) | 1 (100.0 %) |",
        "| ratings_x | 3 |",
        "3 users: 1 of both domains, 2 of X only, 0 of Y only (66.7 % with one domain).",
    ):
        assert line in page.splitlines()
    assert "mean over test targets: 12.5 %." in page
    assert "33.3 % of the test targets" in page
    assert "**Synthetic**" in page


def test_no_test_target_in_a_domain(artefacts):
    hand.write(artefacts, [[3, 4, 0], [4, 3, 1]], [[0, 1, 2], [0, 1, 2]])
    facts = measure(TOY, artefacts, {})
    assert facts["held_out"]["test"]["y"]["targets"] == 0
    assert facts["users"]["one_domain_share"] == 0  # measured, since nothing was written down
    page = render(facts)
    assert "| targets, test | 2 | 0 |" in page
    assert "not recorded" in page
    assert all(image.startswith(b"\x89PNG") for image in plots(facts, 60).values())
    json.dumps(facts, allow_nan=False)


def test_names_cannot_inject(facts):
    facts["pair"] |= {"domains": {"x": "<b>|x", "y": "$y$ `"}, "source": ["https://h/<img src=x>"], "synthetic": False}
    facts["filters"] = [{"filter": "<i>|", "users": 1}]
    facts["bad_lines"] = {"[x](y)|": 1}
    page = render(facts)
    assert "<" not in page
    assert r"&lt;b&gt;\|x" in page
    assert r"\[x\]\(y\)\|" in page
    assert len(plots(facts, 60)) == 4  # $ opens no formula


def test_long_sequences_have_growing_bins(facts):
    facts["lengths"]["all"]["histogram"] = {"edges": [1, 2, 5, 900], "count": [3, 0, 7]}
    assert plots(facts, 60)["lengths.png"].startswith(b"\x89PNG")


def test_ratings_without_steps(artefacts, monkeypatch):
    monkeypatch.setattr(hand, "RATINGS", list(np.linspace(0, 100, 9)))
    monkeypatch.setattr("lecdsr.card.statistics.MAX_RATING_VALUES", 8)
    hand.write(artefacts)
    facts = measure(TOY, artefacts, hand.FACTS)
    assert facts["ratings"]["x"]["count"] == {}
    assert "rating" not in render(facts).partition("## Ratings")[2].partition("## Texts")[0]


def test_training_targets_of_random_windows(artefacts):
    random = np.random.default_rng(3)
    histories = [random.integers(0, 5, random.integers(2, 12)).tolist() for _ in range(40)]
    hand.write(artefacts, histories, [list(range(len(history))) for history in histories])
    facts = measure(TOY, artefacts, {})
    held = [history[1:-2] if len(history) >= 3 else history[1:-1] for history in histories]
    targets = [item >= 3 for history in held for item in history]
    assert facts["training_targets"] == {"x": targets.count(False), "y": targets.count(True)}


def card(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "data" / "toy" / "card").iterdir())}


@pytest.mark.slow
def test_the_stage_twice(artefacts, tmp_path):
    hand.repository(tmp_path)
    hand.write(artefacts)
    command = [sys.executable, "-m", "stages.card", "--pair", "toy"]
    runs = []
    for zone in ("UTC", "Asia/Tokyo"):  # nor does the machine's zone play a part
        environment = {"PYTHONPATH": str(ROOT), "TZ": zone, "PATH": "", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        runs.append(card(tmp_path))
    assert list(runs[0]) == FILES
    assert runs[0] == runs[1]
    assert sorted(path.name for path in (tmp_path / "data" / "toy").iterdir()) == ["card", "sequences", "settings"]
    assert json.loads(runs[0]["card.json"])["pair"]["domains"] == {"x": "Food", "y": "Kitchen"}


def test_a_missing_and_a_broken_table(artefacts, tmp_path):
    hand.repository(tmp_path)
    hand.write(artefacts)
    artefacts.items.write_bytes(b"no table")
    with refused("broken-file", artefacts.items):
        main("toy")
    artefacts.items.unlink()
    with refused("missing-file", artefacts.items):
        main("toy")
    artefacts.users.rename(artefacts.items)
    with refused("wrong-columns", artefacts.items):
        main("toy")


def test_too_little_memory_is_told(artefacts):
    hand.write(artefacts)
    with refused("not-enough-memory"), open_tables(artefacts):
        raise duckdb.OutOfMemoryException("no more")
