"""`lecdsr tune` and `lecdsr results` on the command line: killed, resumed, and read without a cache."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

EXPERIMENTS = """
seeds: [1, 2]
budget: 2
methods:
  popularity:
    model: popularity
    grid: [{}]
  sasrec:
    model: sasrec
    grid:
      - {dropout: 0.0}
      - {dropout: 0.5, domains: own}
controls: {}
"""
METHODS = ("popularity", "sasrec")
TUNE = ("python", "-m", "lecdsr.cli.main", "tune", "--pair", "demo")
RESULTS = ("python", "-m", "lecdsr.cli.main", "results", "--pair", "demo")


@pytest.fixture
def declared(repository):
    (repository.folder / "experiments.yaml").write_text(EXPERIMENTS)
    yield repository
    shutil.rmtree(repository.folder / ".experiments", ignore_errors=True)
    repository.run("dvc", "exp", "remove", "-q", "-A")


def table(repository, name="experiments"):
    path = repository.folder / "metrics" / "demo" / f"{name}.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def experiments(repository):
    """List the experiments of `lecdsr tune`, whose names start with the pair; the repository may hold others."""
    return repository.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/demo-*").split()


def kill_after_the_first_run(repository):
    process = subprocess.Popen(
        TUNE, cwd=repository.folder, env=repository.environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not table(repository):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_and_taken_up_again(declared):
    """Two methods and two seeds make four different runs: the first seed of the chosen setting is in the grid."""
    kill_after_the_first_run(declared)
    before = set(experiments(declared))
    assert 1 <= len(before) < 4
    status = declared.run("git", "status", "--short", "--untracked-files=no").split("\n")
    assert [line for line in status if line] == [" M experiments.yaml"]  # the working tree was not touched

    shown = declared.run(*TUNE, "--jobs", "2")
    assert "warning" not in shown
    rows = table(declared)
    assert [(row["method"], row["role"], row["seed"]) for row in rows] == [
        ("popularity", "grid", "1"), ("popularity", "seed", "1"),
        ("sasrec", "grid", "1"), ("sasrec", "grid", "1"), ("sasrec", "seed", "1"), ("sasrec", "seed", "2"),
    ]  # fmt: skip
    names = {ref.rsplit("/", 1)[1] for ref in experiments(declared)}
    assert before <= set(experiments(declared))  # none was made twice
    assert {row["experiment"] for row in rows} == names
    assert len(names) == 4
    best = max(rows[2:4], key=lambda row: float(row["valid_ndcg@10"]))
    assert {row["setting"] for row in rows[4:]} == {best["setting"]}
    assert all(row["test.x.full.ndcg@10"] == "" for row in rows if row["role"] == "grid")
    assert all(float(row["test.x.full.hr@10"]) >= 0 and row["seconds"] for row in rows if row["role"] == "seed")

    # A lost table is rebuilt from the experiments, without training.
    files = [declared.folder / "metrics/demo" / f"experiments{part}.csv" for part in ("", "-slices")]
    text = [path.read_text() for path in files]
    files[0].unlink()
    shown = declared.run(*TUNE)
    assert shown.count("3 runs, 0 of them recorded, 3 more finished") == 2  # grids, then seeds
    assert [path.read_text() for path in files] == text

    # The page: complete where cache and experiments are, the same from what Git has alone.
    declared.run(*RESULTS)
    page = declared.folder / "docs" / "results.md"
    whole = page.read_text()
    assert whole.count("not run") == 1  # where the page says what that means
    assert all(f"| {method} |" in whole for method in METHODS)
    scores = {
        method: [float(row["valid_ndcg@10"]) for row in rows if (row["method"], row["role"]) == (method, "seed")]
        for method in METHODS
    }
    a, b = sorted(METHODS, key=lambda method: sum(scores[method]) / len(scores[method]), reverse=True)
    tested = json.loads((declared.folder / "metrics/demo/experiments-tests.json").read_text())
    assert [(one["a"]["name"], one["b"]["name"]) for one in tested["comparisons"]] == [(a, b)]
    declared.run("dvc", "exp", "remove", "-q", "-A")
    page.unlink()
    declared.run(*RESULTS)
    assert page.read_text() == whole
