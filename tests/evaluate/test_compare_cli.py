"""`lecdsr compare` on the command line, in a small repository with two commits and an experiment."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lecdsr.core.errors import UserError
from lecdsr.core.files import write_table
from lecdsr.core.schemas import RANKS
from tests.evaluate.rank_tables import random_ranks
from tests.repository import Repository

pytestmark = pytest.mark.slow  # dvc builds the repository

QUALITY = {"sasrec": 2.0, "lecdsr": 1.0}
EVALUATE = """
import json, sys
import pyarrow.parquet as pq
from pathlib import Path
from ruamel.yaml import YAML
model = sys.argv[1]
params = YAML(typ="safe").load(Path("params.yaml"))
source = f"tables/{model}-{params['train'][model]['quality']}.parquet"
Path("data/demo/ranks").mkdir(parents=True, exist_ok=True)
Path(f"data/demo/ranks/{model}.parquet").write_bytes(Path(source).read_bytes())
Path("metrics/demo").mkdir(parents=True, exist_ok=True)
rule = params["evaluate"]["exclude_history"]
run = {"run": {"candidates_sha256": params["candidates"]["seed"], "exclude_history": rule}}
Path(f"metrics/demo/{model}.json").write_text(json.dumps(run))
"""
DVC = """
stages:
  evaluate:
    matrix:
      pair: ${active}
      model: ${models}
    cmd: python evaluate.py ${item.model}
    params: ["train.${item.model}", evaluate, candidates]
    outs: ["data/demo/ranks/${item.model}.parquet"]
    metrics: ["metrics/demo/${item.model}.json": {cache: false}]
"""
PARAMS = """
active: [demo]
models: [sasrec, lecdsr]
candidates: {seed: first}
evaluate: {exclude_history: true}
train:
  sasrec: {quality: 2.0}
  lecdsr: {quality: 1.0}
"""
PAIR = """
domains: [Pantry, Cookware]
release: 2018
source: synthetic
"""


class CompareRepository(Repository):
    """Run `lecdsr compare`."""

    def compare(self, *arguments: str, check: bool = True) -> str:
        return self.lecdsr("compare", *arguments, check=check)

    def figures(self, *arguments: str) -> dict:
        """Return the output of --format json, after the warnings."""
        shown = self.compare(*arguments, "--format", "json")
        return json.loads(shown[shown.index("{") :])


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Branch `main`, an experiment `better` of sasrec, one `other-negatives`, one `with-history`, loose rank files."""
    folder = tmp_path_factory.mktemp("repository")
    repository = CompareRepository(folder, tmp_path_factory.mktemp("vectors"))
    repository.environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    (folder / "pairs").mkdir()
    for name, text in {
        "evaluate.py": EVALUATE, "dvc.yaml": DVC, "params.yaml": PARAMS, "pairs/demo.yaml": PAIR,
        ".gitignore": "data/\nloose/\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    for name, table in {
        "sasrec-2.0": random_ranks(2, 1), "sasrec-4.0": random_ranks(4, 2), "lecdsr-1.0": random_ranks(1, 3),
    }.items():  # fmt: skip
        write_table(folder / "tables" / f"{name}.parquet", table, RANKS)
    for seed in (1, 2, 3):
        write_table(folder / "loose" / f"seed{seed}.parquet", random_ranks(2, 10 + seed), RANKS)
    repository.run("git", "init", "-q", "-b", "main")
    repository.run("git", "config", "user.name", "tests")
    repository.run("git", "config", "user.email", "tests@example.org")
    repository.run("dvc", "init", "-q")
    repository.run("dvc", "repro", "-q")
    repository.commit("built")
    for name, setting in {
        "better": "train.sasrec.quality=4.0", "other-negatives": "candidates.seed=second",
        "with-history": "evaluate.exclude_history=false",
    }.items():  # fmt: skip
        repository.run("dvc", "exp", "run", "-q", "-n", name, "-S", setting)
        repository.run("git", "reset", "-q", "--hard")
    repository.run("dvc", "checkout", "-q")
    return repository


def test_two_models(repository):
    shown = repository.compare("sasrec", "lecdsr")
    assert re.search(r"sasrec .*better.* lecdsr .*x and y", shown)
    assert re.search(r"A = sasrec, B = lecdsr\b.*\btest\b", shown)
    assert "150" in shown
    assert "8 tests" in shown
    assert "warning" not in shown


def test_experiment_against_branch_shows_what_it_changed(repository):
    shown = repository.compare("better", "main", "--protocol", "full", "--metric", "ndcg@10", "--split", "valid")
    assert re.search(r"better:sasrec .*better.* main:sasrec .*x and y", shown)
    assert re.search(r"A = .*\bvalid\b", shown)
    assert re.search(r"warning: .*better:lecdsr .*main:lecdsr", shown)
    assert "A = better:lecdsr" not in shown
    assert "2 tests" in shown


def test_revision_takes_the_model_of_the_other_side(repository):
    found = repository.figures("sasrec", "better")
    (comparison,) = found["comparisons"]
    assert found["pair"] == "demo"
    assert comparison["b"]["seeds"] == ["better:sasrec"]
    assert {row["better"] for row in comparison["rows"]} == {"b"}
    assert len(comparison["rows"]) == 8
    again = repository.figures("HEAD:sasrec", "better", "--pair", "demo")
    assert again["comparisons"][0]["rows"] == comparison["rows"]


def test_several_seeds_under_a_label(repository):
    shown = repository.compare(
        "sasrec", "new=loose/seed1.parquet,loose/seed2.parquet", "--format", "md", "--slice", "training"
    )
    assert "A = sasrec, B = new (2 seeds)" in shown
    assert shown.count("| 1–4 |") == 8
    assert " ± 0." in shown
    assert re.search(r"warning: .*loose/seed1\.parquet, loose/seed2\.parquet", shown)  # their negatives are unknown
    whole = repository.figures("sasrec", "loose/")
    assert whole["comparisons"][0]["b"]["seeds"] == [f"loose/seed{seed}.parquet" for seed in (1, 2, 3)]


def test_equal_seeds_are_pointed_out(repository):
    assert re.search("warning: main:sasrec .*seed", repository.compare("sasrec,main:sasrec", "lecdsr"))


MISTAKES = {
    "negatives": (
        ("main:sasrec", "other-negatives:sasrec"), "other-protocol", "sampled ranking",
        ["first", "second", "--protocol full"],
    ),
    "rule": (
        ("main", "with-history", "--model", "sasrec"), "other-protocol", "full ranking",
        ["exclude_history", "true", "false", "--protocol sampled"],
    ),
    "no such name": (("sasrec", "nowhere"), "unknown-source", None, ["'nowhere'", "dvc exp list"]),
    "no such model": (
        ("main", "better", "--model", "hgn"), "missing-file", "data/demo/ranks/hgn.parquet of main", ["lecdsr, sasrec"]
    ),
    "which model": (("sasrec", "lecdsr,better"), "several-models", "better", ["REV:MODEL"]),
    "twice": (("sasrec,sasrec", "lecdsr"), "repeated", "sasrec,sasrec", []),
    "half a name": (("sasrec", "main:"), "missing-name", "main:", ["[LABEL=]SOURCE"]),
    "empty": (("sasrec,", "lecdsr"), "missing-name", "sasrec,", ["[LABEL=]SOURCE"]),
    "no folder": (("sasrec", "pairs/"), "missing-file", "pairs/", [".parquet"]),
    "no file": (("sasrec", "loose/seed9.parquet"), "missing-file", "loose/seed9.parquet", []),
    "metric": (("sasrec", "lecdsr", "--metric", "ndgc@10"), "unknown-metric", "--metric", ["'ndgc@10'", "'ndcg@10'"]),
    "model for nothing": (("sasrec", "lecdsr", "--model", "sasrec"), "needless-model", "--model", []),
    "pair": (("sasrec", "lecdsr", "--pair", "deno"), "unknown-pair", "pairs", ["'deno'", "'demo'"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes(repository, kind):
    arguments, code, where, words = MISTAKES[kind]
    shown = repository.compare(*arguments, check=False)
    assert isinstance(repository.error, UserError)
    assert repository.error.code == code
    assert where is None or repository.error.where == where
    for word in words:
        assert word in shown
    assert "Traceback" not in shown


def test_what_differs_in_one_protocol_is_comparable_in_the_other(repository):
    assert "cannot tell" in repository.compare("main:sasrec", "other-negatives:sasrec", "--protocol", "full")
    assert "cannot tell" in repository.compare("main:sasrec", "with-history:sasrec", "--protocol", "sampled")


def test_unfinished_merge(repository):
    metrics = repository.folder / "metrics/demo/sasrec.json"
    text = metrics.read_text()
    metrics.write_text("<<<<<<< ours\n" + text)
    try:
        shown = repository.compare("sasrec", "lecdsr", check=False)
    finally:
        metrics.write_text(text)
    assert str(Path("metrics/demo/sasrec.json")) in shown
    assert "Traceback" not in shown


def test_other_targets_and_broken_files(repository):
    write_table(repository.folder / "loose2" / "fewer.parquet", random_ranks(2, 1, users=140), RANKS)
    shown = repository.compare("sasrec", "loose2/fewer.parquet", check=False)
    assert repository.error.code == "other-targets"
    assert "300" in shown
    (repository.folder / "loose2" / "broken.parquet").write_bytes(b"PAR1")
    repository.compare("sasrec", "loose2/broken.parquet", check=False)
    assert (repository.error.code, repository.error.where) == ("broken-file", "loose2/broken.parquet")


def test_content_that_the_cache_lost(repository, tmp_path):
    shutil.move(repository.folder / ".dvc" / "cache", tmp_path / "cache")
    try:
        shown = repository.compare("sasrec", "better", check=False)
    finally:
        shutil.rmtree(repository.folder / ".dvc" / "cache", ignore_errors=True)
        shutil.move(tmp_path / "cache", repository.folder / ".dvc" / "cache")
    assert repository.error.code == "not-in-cache"
    assert "dvc exp apply better" in shown
    assert "Traceback" not in shown


def test_help_teaches(repository):
    shown = repository.compare("--help")
    for word in ("SOURCE", "wider:sasrec", "lecdsr compare main wider", "Holm"):
        assert word in shown


def test_ranks_of_an_earlier_version(repository):
    former = random_ranks(2, 1).drop_columns(["history_own"])
    path = repository.folder / "loose3" / "former.parquet"
    write_table(path, former, former.schema)
    shown = repository.compare("sasrec", "loose3/former.parquet", "--slice", "history", "--slice", "ties")
    assert re.search("warning: .*history", shown)
    assert "untied" in shown
    assert "cannot tell" in shown
