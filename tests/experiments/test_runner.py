"""`lecdsr tune` with DVC and training left out: what is run, chosen, recorded, taken up again and forgotten."""

import csv
import json

import pytest

from lecdsr.core.errors import UserError
from lecdsr.core.files import read_table
from lecdsr.core.schemas import RANKS
from lecdsr.experiments import runner as tuning
from lecdsr.experiments.dvc_clone import RunFailed, _reason, command
from lecdsr.experiments.records import Finished, ranks_of_test
from tests.evaluate.rank_tables import ranks

DECLARED = """
seeds: [1, 2]
budget: 2
methods:
  popularity: {model: popularity, grid: [{}]}
  sasrec: {model: sasrec, grid: [{width: 8}, {width: 16}]}
controls:
  random: {method: sasrec, set: {item_text: random}}
"""


class DistributedContext:
    """Stands in for DVC: experiments by name, and trainings that score by their width."""

    def __init__(self, folder):
        self.folder, self.experiments, self.trained = folder, {}, []
        self.scores = {8: 0.3, 16: 0.2}
        self.failing, self.stop_after = set(), None
        self.parameters = {}

    def declare(self, text=DECLARED):
        (self.folder / "experiments.yaml").write_text(text)

    def train(self, name, model, setting, seed):
        if self.stop_after is not None and len(self.trained) == self.stop_after:
            raise KeyboardInterrupt
        self.trained.append(name)
        if setting.get("width") in self.failing:
            raise RunFailed("error: does not fit")
        score = self.scores.get(setting.get("width"), 0.1)
        block = {way: {"hr@5": seed, "hr@10": seed, "ndcg@10": seed, "mrr": seed} for way in ("full", "sampled")}
        config = {"valid_ndcg@10": score, "best_epoch": 1, "parameters": self.parameters.get(model, 7)}
        times = {"seconds": 1.0, "device": "cpu", "threads": 1}
        table = ranks([(0, 0, 5, 0, seed)])
        self.experiments[name] = Finished({"test": {"x": block}}, "epoch\n0\n1\n", config, times, table)

    def table(self, name="experiments"):
        path = self.folder / "metrics/demo" / f"{name}.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []

    def kinds(self):
        return [
            (row["method"], row["role"], row["seed"], json.loads(row["setting"]).get("width")) for row in self.table()
        ]


@pytest.fixture
def context(tmp_path, monkeypatch):
    made = DistributedContext(tmp_path)

    class PairRecommender:
        def __init__(self, *_):
            pass

        def run(self, *given):
            made.train(*given)

    def settings(pair, method, setting, where=""):
        return {**method.set, **setting}

    declared = tuning.load_experiments
    made.declare()
    monkeypatch.setattr(tuning, "load_experiments", lambda pair: declared(pair, tmp_path / "experiments.yaml"))
    monkeypatch.setattr(tuning, "resolve", settings)
    monkeypatch.setattr(tuning, "Workshop", PairRecommender)
    monkeypatch.setattr(tuning, "experiment_names", lambda: set(made.experiments))
    monkeypatch.setattr(tuning, "read_finished", lambda run, artefacts: made.experiments[run.name])
    monkeypatch.setattr(tuning, "hash_of_data", lambda artefacts: "data")
    monkeypatch.setattr(tuning, "hash_of_code", lambda model: f"code of {model}")
    monkeypatch.setattr(tuning, "tables", lambda artefacts: [])
    monkeypatch.setattr(tuning.Artefacts, "experiments", tmp_path / "metrics/demo/experiments.csv")
    monkeypatch.setattr(tuning.Artefacts, "experiment_slices", tmp_path / "metrics/demo/experiments-slices.csv")
    monkeypatch.setattr(tuning.Artefacts, "experiment_ranks", tmp_path / "metrics/demo/experiments-ranks")
    monkeypatch.setattr("lecdsr.experiments.dvc_clone.FOLDER", tmp_path / ".studies")
    return made


WHOLE = [
    ("popularity", "grid", "1", None), ("popularity", "seed", "1", None), ("popularity", "seed", "2", None),
    ("sasrec", "grid", "1", 16), ("sasrec", "grid", "1", 8),
    ("sasrec", "seed", "1", 8), ("sasrec", "seed", "2", 8),
    ("sasrec", "control", "1", 8), ("sasrec", "control", "2", 8),
]  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_grid_then_seeds_then_controls(context, jobs):
    tuning.tune("demo", [], jobs)
    assert context.kinds() == WHOLE
    assert len(context.trained) == len(set(context.trained)) == 7  # the chosen one has its first seed from the grid
    assert all((row["test.x.full.mrr"] == "") == (row["role"] == "grid") for row in context.table())
    assert {(row["method"], row["control"], row["seed"]) for row in context.table("experiments-slices")} == {
        ("popularity", "", "1"), ("popularity", "", "2"),
        ("sasrec", "", "1"), ("sasrec", "", "2"), ("sasrec", "random", "1"), ("sasrec", "random", "2"),
    }  # fmt: skip
    tuning.tune("demo", [], jobs)
    assert len(context.trained) == 7


def test_what_learns_nothing_runs_under_one_seed(context):
    context.parameters["popularity"] = 0
    tuning.tune("demo", [], 1)
    assert context.kinds() == [kind for kind in WHOLE if kind[::2] != ("popularity", "2")]
    tuning.tune("demo", [], 1)
    assert len(context.trained) == 6  # popularity once


def test_ranks_of_what_was_chosen_are_kept_and_no_others(context):
    tuning.tune("demo", [], 1)
    folder = context.folder / "metrics/demo/experiments-ranks"
    wanted = {row["experiment"] for row in context.table() if row["role"] != "grid"}
    assert {path.stem for path in folder.iterdir()} == wanted
    for name in wanted:
        assert read_table(folder / f"{name}.parquet", RANKS).equals(ranks_of_test(context.experiments[name].ranks))
    context.scores = {8: 0.1, 16: 0.2}  # the other setting wins when all is run afresh
    (context.folder / "metrics/demo/experiments.csv").unlink()
    context.experiments.clear()
    tuning.tune("demo", [], 1)
    later = {row["experiment"] for row in context.table() if row["role"] != "grid"}
    assert later != wanted
    assert {path.stem for path in folder.iterdir()} == later


def test_the_first_seeds_alone_and_later_the_others(context):
    tuning.tune("demo", [], 1, seeds=1)
    assert context.kinds() == [kind for kind in WHOLE if kind[2] == "1"]
    tuning.tune("demo", [], 1)
    tuning.tune("demo", [], 1, seeds=1)  # takes nothing away
    assert context.kinds() == WHOLE
    assert len(context.trained) == 7


@pytest.mark.parametrize("done", range(7))
def test_interrupted_anywhere_and_taken_up_again(context, done):
    context.stop_after = done
    with pytest.raises(KeyboardInterrupt):
        tuning.tune("demo", [], 1)
    context.stop_after = None
    tuning.tune("demo", [], 1)
    assert context.kinds() == WHOLE
    assert len(context.trained) == 7


def test_tables_that_are_lost_come_back_without_a_training(context):
    tuning.tune("demo", [], 1)
    files = [context.folder / "metrics/demo" / name for name in ("experiments.csv", "experiments-slices.csv")]
    before = [path.read_text() for path in files]
    files[0].unlink()
    tuning.tune("demo", [], 1)
    assert [path.read_text() for path in files] == before
    context.experiments.clear()  # as in a clone that has the tables and no experiments
    tuning.tune("demo", [], 1)
    assert [path.read_text() for path in files] == before
    assert len(context.trained) == 7


def test_validation_chooses_and_a_failure_counts_as_tried(context, capsys):
    context.failing = {8}
    with pytest.raises(UserError, match="1 runs failed"):
        tuning.tune("demo", [], 1)
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "error: does not fit" in shown
    assert ("sasrec", "seed", "2", 16) in context.kinds()
    assert not [kind for kind in context.kinds() if kind[3] == 8]
    # It can be trained now, and is better: what was chosen before is forgotten.
    context.failing = set()
    tuning.tune("demo", [], 1)
    assert context.kinds() == WHOLE
    assert {row["experiment"] for row in context.table("experiments-slices")} <= set(context.experiments)
    assert len(context.table("experiments-slices")) == 6 * 4 * 2  # runs; all, 0, history and untied; rankings


def test_an_arm_of_which_nothing_can_be_trained(context, capsys):
    context.failing = {8, 16}
    with pytest.raises(UserError, match="2 runs failed"):
        tuning.tune("demo", [], 2)
    assert "no setting of its grid could be trained" in " ".join("".join(capsys.readouterr()).split())
    assert context.kinds() == WHOLE[:3]


def test_what_is_no_longer_declared_is_forgotten_of_the_arms_at_work_alone(context):
    tuning.tune("demo", [], 1)
    context.declare(DECLARED.replace("[1, 2]", "[1, 3]").replace("{width: 16}", "{width: 32}"))
    tuning.tune("demo", ["sasrec"], 1)
    found = context.kinds()
    assert [kind for kind in found if kind[0] == "popularity"] == WHOLE[:3]
    assert {(role, seed, width) for method, role, seed, width in found if method == "sasrec"} == {
        ("grid", "1", 32), ("grid", "1", 8), ("seed", "1", 8), ("seed", "3", 8),
        ("control", "1", 8), ("control", "3", 8),
    }  # fmt: skip


def test_other_code_or_data_is_another_run(context, monkeypatch):
    tuning.tune("demo", ["popularity"], 1)
    assert len(context.trained) == 2
    monkeypatch.setattr(tuning, "hash_of_code", lambda model: "changed")
    tuning.tune("demo", ["popularity"], 1)
    assert len(context.trained) == 4
    assert len(context.table()) == 3  # the former rows are gone
    monkeypatch.setattr(tuning, "hash_of_data", lambda artefacts: "changed")
    tuning.tune("demo", ["popularity"], 1)
    assert len(context.trained) == 6


def test_two_at_once_are_refused(context):
    with tuning.alone("demo"), pytest.raises(UserError, match="running already"):
        tuning.tune("demo", [], 1)


def test_the_command_of_a_run():
    given = {"width": 8, "start": "text", "learning_rate": 1e-05, "convolution": True}
    words = command("demo", "NAME", "sasrec", given, 3)
    assert words[:6] == ["dvc", "exp", "run", "--name", "NAME", "--single-item"]
    assert words[words.index("models=[sasrec]") - 1] == "-S"
    for word in ("width=8", 'start="text"', "learning_rate=1e-05", "convolution=true"):
        assert f"pairs/demo.yaml:++train.sasrec.{word}" in words
    assert "pairs/demo.yaml:++train.shared.seed=3" in words
    assert words[-2:] == ["train@demo-sasrec", "evaluate@demo-sasrec"]


def test_the_reason_of_a_failure_is_that_of_the_stage():
    output = (
        "Running stage\nmuch\n\nerror: too large\n  where: train.sasrec\n  do:    less\nERROR: failed to reproduce\n"
    )
    assert _reason(output).splitlines()[:3] == ["error: too large", "  where: train.sasrec", "  do:    less"]
    assert _reason("\n".join(map(str, range(50)))).splitlines() == [str(line) for line in range(38, 50)]
