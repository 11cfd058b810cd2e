"""The declared experiments: refusals and their messages, the chosen setting, and the runs that follow."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.experiments.config import FILE, load_experiments, resolve, select_methods
from lecdsr.experiments.plan import CONTROL, GRID, SEED, best_run, grid_runs, seed_and_control_runs
from tests.errors import refused

ROOT = Path(__file__).parents[2]
PAIRS = sorted(path.stem for path in (ROOT / "pairs").glob("*.yaml"))
GOOD = """
seeds: [3, 1]
budget: 2
methods:
  popularity: {model: popularity, grid: [{}]}
  sasrec-own: {model: sasrec, set: {domains: own, width: 8}, grid: [{dropout: 0.1}, {dropout: 0.5}]}
controls:
  random: {method: sasrec-own, set: {item_text: random, dropout: 0.0}}
"""


@pytest.fixture
def declare(tmp_path):
    def load(text: str = GOOD, pair: str = "demo"):
        path = tmp_path / "experiments.yaml"
        path.write_text(text)
        return load_experiments(pair, path)

    return load


@pytest.mark.parametrize("pair", PAIRS)
def test_the_file_of_the_project(pair):
    declared = load_experiments(pair, ROOT / FILE)
    for name, method in declared.methods.items():
        single = name == "popularity" or method.published
        assert len(method.grid) == declared.budget or (single and method.grid == [{}])


def test_every_key_of_the_file_has_a_comment():
    lines = (ROOT / FILE).read_text(encoding="utf-8").splitlines()
    for key in YAML(typ="safe").load(ROOT / FILE):
        assert lines[lines.index(next(line for line in lines if line.startswith(f"{key}:"))) - 1].startswith("#")


SASREC, RANDOM = "methods.sasrec-own", "controls.random"
MISTAKES = {
    "model": ("model: sasrec", "model: sasrek", "unknown-model", f"{SASREC}.model", ["'sasrek'", "'sasrec'"]),
    "key of a model": (
        "{dropout: 0.5}", "{dropuot: 0.5}", "unknown-key", f"{SASREC}.grid[1]: dropuot", ["'dropuot'", "'dropout'"]
    ),
    "key of set": ("width: 8", "widht: 8", "unknown-key", f"{SASREC}.grid[0]: widht", ["'widht'", "'width'"]),
    "value": ("{dropout: 0.5}", "{dropout: much}", "wrong-value", f"{SASREC}.grid[1]: dropout", ["'much'", "number"]),
    "truth for a number": ("{dropout: 0.5}", "{dropout: true}", "wrong-value", f"{SASREC}.grid[1]: dropout", ["True"]),
    "range": ("{dropout: 0.5}", "{dropout: 1.5}", "wrong-value", f"{SASREC}.grid[1]: dropout", ["1.5", "less than 1"]),
    "too few": (", {dropout: 0.5}]", "]", "wrong-budget", f"{SASREC}.grid", [" 1 ", " 2"]),
    "too many": ("{dropout: 0.5}]", "{dropout: 0.5}, {dropout: 0.2}]", "wrong-budget", f"{SASREC}.grid", [" 3 "]),
    "nothing tried": ("[{dropout: 0.1}, {dropout: 0.5}]", "[{}]", "wrong-budget", f"{SASREC}.grid", [" 1 "]),
    "grid of a published one": (
        "{model: sasrec,", "{model: sasrec, published: true,", "wrong-budget", f"{SASREC}.grid", ["published"]
    ),
    "twice": ("{dropout: 0.5}", "{dropout: 0.1}", "repeated", f"{SASREC}.grid", ['"dropout": 0.1']),
    "twice in disguise": ("{dropout: 0.5}", "{dropout: 0.1, width: 8}", "repeated", f"{SASREC}.grid", ['"width": 8']),
    "seeds": ("[3, 1]", "[3, 3]", "repeated", "seeds", ["3"]),
    "no seed": ("[3, 1]", "[]", "wrong-value", "seeds", ["at least 1"]),
    "more seeds for controls than there are": (
        "budget: 2", "budget: 2\ncontrol_seeds: 3", "wrong-value", "control_seeds", ["3 of 2"]
    ),
    "no seed for controls": ("budget: 2", "budget: 2\ncontrol_seeds: 0", "wrong-value", "control_seeds", ["0"]),
    "key of a method": (
        "model: popularity,", "model: popularity, extra: 1,", "unknown-key", "methods.popularity.extra", ["'extra'"]
    ),
    "key of the file": ("budget: 2", "budget: 2\nbugdet: 2", "unknown-key", "bugdet", ["'bugdet'", "'budget'"]),
    "name": ("sasrec-own: {", "sasrec/own: {", "wrong-value", "methods.sasrec/own", ["sasrec/own"]),
    "method of a control": (
        "method: sasrec-own,", "method: sasrec,", "unknown-method", f"{RANDOM}.method", ["'sasrec'", "'sasrec-own'"]
    ),
    "setting of a control": (
        "item_text: random", "item_text: randon", "wrong-value", f"{RANDOM}.set: item_text", ["'randon'", "'random'"]
    ),
    "set of popularity": (
        "popularity, grid", "popularity, set: {domains: own}, grid", "wrong-value",
        "methods.popularity.grid[0]: domains", ["'own'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes(declare, tmp_path, kind):
    right, wrong, code, key, words = MISTAKES[kind]
    assert right in GOOD
    with refused(code, f"{tmp_path / 'experiments.yaml'}: {key}") as caught:
        declare(GOOD.replace(right, wrong))
    assert all(word in caught.value.what for word in words), caught.value


def test_a_published_method_has_one_setting_whatever_the_budget(declare):
    grid = "{model: sasrec, set: {domains: own, width: 8}, grid: [{dropout: 0.1}, {dropout: 0.5}]}"
    assert grid in GOOD
    declared = declare(GOOD.replace(grid, "{model: sasrec, published: true, set: {width: 8}, grid: [{}]}"))
    (run,) = grid_runs(declared, "sasrec-own", lambda *_: "name")
    assert run.setting == {"width": 8}


def test_what_is_laid_over_what(declare):
    declared = declare()
    method = declared.methods["sasrec-own"]
    whole = resolve("demo", method, {"dropout": 0.5, "width": 16})
    assert (whole["domains"], whole["width"], whole["dropout"]) == ("own", 16, 0.5)
    assert whole["history_length"] == 30  # of the pair demo
    assert resolve("toy_game", method, {})["history_length"] == 50


def test_arms_by_name(declare):
    declared = declare()
    assert list(select_methods(declared, [])) == ["popularity", "sasrec-own"]
    assert list(select_methods(declared, ["sasrec-own"])) == ["sasrec-own"]
    assert list(select_methods(declared, ["sasrec-own", "popularity", "sasrec-own"])) == ["sasrec-own", "popularity"]
    with refused("unknown-method", FILE) as caught:
        select_methods(declared, ["sasrec"])
    assert "'sasrec'" in caught.value.what
    assert "popularity, sasrec-own" in caught.value.do


def naming(method, setting, seed):
    return f"{method} {setting.get('dropout')} {seed}"


def test_runs_of_an_arm(declare):
    declared = declare()
    grid = grid_runs(declared, "sasrec-own", naming)
    fixed = {"domains": "own", "width": 8}
    assert [(run.role, run.seed, run.setting) for run in grid] == [
        (GRID, 3, {**fixed, "dropout": 0.1}),
        (GRID, 3, {**fixed, "dropout": 0.5}),
    ]
    later = seed_and_control_runs(declared, "sasrec-own", grid[1].setting, naming)
    assert [(run.role, run.control, run.seed) for run in later] == [
        (SEED, "", 3), (SEED, "", 1), (CONTROL, "random", 3), (CONTROL, "random", 1),
    ]  # fmt: skip
    assert later[0].name == grid[1].name  # the same run, which is not run twice
    assert later[0].setting == {**fixed, "dropout": 0.5}
    assert later[2].setting == {**fixed, "dropout": 0.0, "item_text": "random"}
    assert [run.role for run in seed_and_control_runs(declared, "popularity", {}, naming)] == [SEED, SEED]


def test_controls_may_have_fewer_seeds_than_their_method(declare):
    later = seed_and_control_runs(declare(GOOD + "control_seeds: 1\n"), "sasrec-own", {}, naming)
    assert [(run.control, run.seed) for run in later] == [("", 3), ("", 1), ("random", 3)]


def test_controls_of_one_seed_come_before_the_next_seed(declare):
    controls = "controls:\n  none: {method: sasrec-own, set: {item_text: none}}\n"
    later = seed_and_control_runs(declare(GOOD.replace("controls:\n", controls)), "sasrec-own", {}, naming)
    assert [(run.control, run.seed) for run in later if run.role == CONTROL] == [
        ("none", 3), ("random", 3), ("none", 1), ("random", 1),
    ]  # fmt: skip


def test_validation_chooses(declare):
    grid = grid_runs(declare(), "sasrec-own", naming)
    first, second = (run.name for run in grid)
    assert best_run(grid, {first: 0.1, second: 0.2}) == grid[1]
    assert best_run(grid, {first: 0.2, second: 0.1}) == grid[0]
    assert best_run(grid, {first: 0.2, second: 0.2}) == grid[0]
    assert best_run(grid, {second: 0.1}) == grid[1]  # the first one failed
    assert best_run(grid, {"another run": 0.9}) is None
