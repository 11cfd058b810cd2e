"""`lecdsr tune` without DVC and training: what is run, chosen, recorded, resumed and dropped."""

import csv
import functools
import json

import pytest

from lecdsr.core.files import read_table
from lecdsr.core.schemas import RANKS
from lecdsr.experiments import runner
from lecdsr.experiments.dvc_clone import command
from lecdsr.experiments.records import FinishedRun, ranks_of_test
from lecdsr.experiments.runs import RunFailed, experiments_lock, failure_reason
from tests.errors import refused
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


class FakeRuns:
    """Replacement of a way to run experiments: results by name, and trainings whose score depends on their width."""

    def __init__(self, folder):
        self.folder, self.experiments, self.trained = folder, {}, []
        self.scores = {8: 0.3, 16: 0.2}
        self.failing, self.stop_after = set(), None
        self.parameters = {}
        self.now = 0.0

    def declare(self, text=DECLARED):
        (self.folder / "experiments.yaml").write_text(text)

    def finished(self, name):
        return name in self.experiments

    def read(self, run):
        return self.experiments[run.name]

    def run(self, run):
        name, model, setting, seed = run.name, run.model, run.setting, run.seed
        self.now += 60
        if self.stop_after is not None and len(self.trained) == self.stop_after:
            raise KeyboardInterrupt
        self.trained.append(name)
        if setting.get("width") in self.failing:
            raise RunFailed("error: does not fit")
        score = self.scores.get(setting.get("width"), 0.1)
        block = {way: {"hr@5": seed, "hr@10": seed, "ndcg@10": seed, "mrr": seed} for way in ("full", "sampled")}
        config = {"valid_ndcg@10": score, "best_epoch": 1, "parameters": self.parameters.get(model, 7)}
        times = {"seconds": 1.0, "device": "cpu", "processor": "", "threads": 1, "torch": ""}
        table = ranks([(0, 0, 5, 0, seed)])
        self.experiments[name] = FinishedRun({"test": {"x": block}}, "epoch\n0\n1\n", config, times, table)

    def table(self, name="experiments"):
        path = self.folder / "metrics/demo" / f"{name}.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []

    def kinds(self):
        return [
            (row["method"], row["role"], row["seed"], json.loads(row["setting"]).get("width")) for row in self.table()
        ]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    made = FakeRuns(tmp_path)

    def settings(pair, method, setting, where=""):
        return {**method.set, **setting}

    declared = runner.load_experiments
    made.declare()
    monkeypatch.setattr(runner, "load_experiments", lambda pair: declared(pair, tmp_path / "experiments.yaml"))
    monkeypatch.setattr(runner, "resolve", settings)
    monkeypatch.setattr(runner, "DvcRuns", lambda *_: made)
    monkeypatch.setattr(runner.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(runner, "hash_of_data", lambda artefacts: "data")
    monkeypatch.setattr(runner, "hash_of_code", lambda model: f"code of {model}")
    monkeypatch.setattr(runner, "tables", lambda artefacts: [])
    monkeypatch.setattr(runner.Artefacts, "experiments", tmp_path / "metrics/demo/experiments.csv")
    monkeypatch.setattr(runner.Artefacts, "experiment_slices", tmp_path / "metrics/demo/experiments-slices.csv")
    monkeypatch.setattr(runner.Artefacts, "experiment_ranks", tmp_path / "metrics/demo/experiments-ranks")
    lock = functools.partial(experiments_lock, folder=tmp_path / ".experiments")
    monkeypatch.setattr(runner, "experiments_lock", lock)
    return made


WHOLE = [
    ("popularity", "grid", "1", None), ("popularity", "seed", "1", None), ("popularity", "seed", "2", None),
    ("sasrec", "grid", "1", 16), ("sasrec", "grid", "1", 8),
    ("sasrec", "seed", "1", 8), ("sasrec", "seed", "2", 8),
    ("sasrec", "control", "1", 8), ("sasrec", "control", "2", 8),
]  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_grid_then_seeds_then_controls(fake, jobs):
    runner.tune("demo", [], jobs)
    assert fake.kinds() == WHOLE
    assert len(fake.trained) == len(set(fake.trained)) == 7  # the first seed of the chosen setting is in the grid
    assert all((row["test.x.full.mrr"] == "") == (row["role"] == "grid") for row in fake.table())
    assert {(row["method"], row["control"], row["seed"]) for row in fake.table("experiments-slices")} == {
        ("popularity", "", "1"), ("popularity", "", "2"),
        ("sasrec", "", "1"), ("sasrec", "", "2"), ("sasrec", "random", "1"), ("sasrec", "random", "2"),
    }  # fmt: skip
    runner.tune("demo", [], jobs)
    assert len(fake.trained) == 7


def test_what_learns_nothing_runs_under_one_seed(fake):
    fake.parameters["popularity"] = 0
    runner.tune("demo", [], 1)
    assert fake.kinds() == [kind for kind in WHOLE if kind[::2] != ("popularity", "2")]
    runner.tune("demo", [], 1)
    assert len(fake.trained) == 6  # popularity once


def test_ranks_of_what_was_chosen_are_kept_and_no_others(fake):
    runner.tune("demo", [], 1)
    folder = fake.folder / "metrics/demo/experiments-ranks"
    wanted = {row["experiment"] for row in fake.table() if row["role"] != "grid"}
    assert {path.stem for path in folder.iterdir()} == wanted
    for name in wanted:
        assert read_table(folder / f"{name}.parquet", RANKS).equals(ranks_of_test(fake.experiments[name].ranks))
    fake.scores = {8: 0.1, 16: 0.2}  # the other setting wins when everything is run again
    (fake.folder / "metrics/demo/experiments.csv").unlink()
    fake.experiments.clear()
    runner.tune("demo", [], 1)
    later = {row["experiment"] for row in fake.table() if row["role"] != "grid"}
    assert later != wanted
    assert {path.stem for path in folder.iterdir()} == later


def test_the_first_seeds_alone_and_later_the_others(fake):
    runner.tune("demo", [], 1, seeds=1)
    assert fake.kinds() == [kind for kind in WHOLE if kind[2] == "1"]
    runner.tune("demo", [], 1)
    runner.tune("demo", [], 1, seeds=1)  # takes nothing away
    assert fake.kinds() == WHOLE
    assert len(fake.trained) == 7


@pytest.mark.parametrize("done", range(7))
def test_interrupted_anywhere_and_taken_up_again(fake, done):
    fake.stop_after = done
    with pytest.raises(KeyboardInterrupt):
        runner.tune("demo", [], 1)
    fake.stop_after = None
    runner.tune("demo", [], 1)
    assert fake.kinds() == WHOLE
    assert len(fake.trained) == 7


def test_tables_that_are_lost_come_back_without_a_training(fake):
    runner.tune("demo", [], 1)
    files = [fake.folder / "metrics/demo" / name for name in ("experiments.csv", "experiments-slices.csv")]
    before = [path.read_text() for path in files]
    files[0].unlink()
    runner.tune("demo", [], 1)
    assert [path.read_text() for path in files] == before
    fake.experiments.clear()  # as in a clone that has the tables and no experiments
    runner.tune("demo", [], 1)
    assert [path.read_text() for path in files] == before
    assert len(fake.trained) == 7


def test_validation_chooses_and_a_failure_counts_as_tried(fake, capsys):
    fake.failing = {8}
    with refused("failed-runs") as caught:
        runner.tune("demo", [], 1)
    assert caught.value.what.startswith("1 ")
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "error: does not fit" in shown
    assert ("sasrec", "seed", "2", 16) in fake.kinds()
    assert not [kind for kind in fake.kinds() if kind[3] == 8]
    # It can be trained now, and is better: what was chosen before is forgotten.
    fake.failing = set()
    runner.tune("demo", [], 1)
    assert fake.kinds() == WHOLE
    assert {row["experiment"] for row in fake.table("experiments-slices")} <= set(fake.experiments)
    assert len(fake.table("experiments-slices")) == 6 * 4 * 2  # runs; all, 0, history and untied; rankings


def test_a_method_of_which_nothing_can_be_trained(fake, capsys):
    fake.failing = {8, 16}
    with refused("failed-runs") as caught:
        runner.tune("demo", [], 2)
    assert caught.value.what.startswith("2 ")
    assert "no setting of its grid could be trained" in " ".join("".join(capsys.readouterr()).split())
    assert fake.kinds() == WHOLE[:3]


def test_what_is_no_longer_declared_is_forgotten_of_the_methods_at_work_alone(fake):
    runner.tune("demo", [], 1)
    fake.declare(DECLARED.replace("[1, 2]", "[1, 3]").replace("{width: 16}", "{width: 32}"))
    runner.tune("demo", ["sasrec"], 1)
    found = fake.kinds()
    assert [kind for kind in found if kind[0] == "popularity"] == WHOLE[:3]
    assert {(role, seed, width) for method, role, seed, width in found if method == "sasrec"} == {
        ("grid", "1", 32), ("grid", "1", 8), ("seed", "1", 8), ("seed", "3", 8),
        ("control", "1", 8), ("control", "3", 8),
    }  # fmt: skip


def test_other_code_or_data_is_another_run(fake, monkeypatch):
    runner.tune("demo", ["popularity"], 1)
    assert len(fake.trained) == 2
    monkeypatch.setattr(runner, "hash_of_code", lambda model: "changed")
    runner.tune("demo", ["popularity"], 1)
    assert len(fake.trained) == 4
    assert len(fake.table()) == 3  # the former rows are gone
    monkeypatch.setattr(runner, "hash_of_data", lambda artefacts: "changed")
    runner.tune("demo", ["popularity"], 1)
    assert len(fake.trained) == 6


def test_methods_run_in_the_given_order(fake):
    runner.tune("demo", ["sasrec", "popularity"], 1)
    models = [name.split("-")[1] for name in fake.trained]
    assert models == ["sasrec", "sasrec", "popularity", "sasrec", "sasrec", "sasrec", "popularity"]
    assert fake.kinds() == WHOLE


@pytest.mark.parametrize("minutes", range(8))
def test_no_run_starts_after_the_given_time(fake, minutes, capsys):
    """A run takes a minute here. The second setting of the grid is the best, and must not be lost."""
    fake.scores = {8: 0.2, 16: 0.3}
    runner.tune("demo", [], 1, minutes=minutes)
    assert len(fake.trained) == minutes
    assert "are missing" in " ".join("".join(capsys.readouterr()).split()) or minutes == 7
    assert {width for method, role, _, width in fake.kinds() if method == "sasrec" and role != "grid"} <= {16}
    runner.tune("demo", [], 1)
    assert len(fake.trained) == 7
    assert fake.kinds() == [(*kind[:3], 16) if kind[3] == 8 and kind[1] != "grid" else kind for kind in WHOLE]


@pytest.mark.parametrize("jobs", [1, 3])
def test_recording_alone_starts_no_run(fake, jobs):
    runner.tune("demo", [], jobs, record_only=True)
    assert (fake.trained, fake.kinds()) == ([], [])
    runner.tune("demo", [], jobs)
    table = fake.table()
    (fake.folder / "metrics/demo/experiments.csv").unlink()
    runner.tune("demo", [], jobs, record_only=True)
    assert fake.table() == table
    assert len(fake.trained) == 7


def test_what_was_chosen_before_stays_until_the_new_grid_is_tried(fake):
    runner.tune("demo", [], 1)
    fake.declare(DECLARED.replace("{width: 16}", "{width: 32}"))
    runner.tune("demo", [], 1, record_only=True)
    assert fake.kinds() == [kind for kind in WHOLE if kind[1::2] != ("grid", 16)]


def test_two_at_once_are_refused(fake):
    with runner.experiments_lock("demo"), refused("running"):
        runner.tune("demo", [], 1)


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
    assert failure_reason(output).splitlines()[:3] == ["error: too large", "  where: train.sasrec", "  do:    less"]
    assert failure_reason("\n".join(map(str, range(50)))).splitlines() == [str(line) for line in range(38, 50)]
