"""Runs in folders: their figures, what is left of a killed one, incomplete copies, and records of copied folders."""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings as Candidates
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS, ITEMS, WINDOWS
from lecdsr.experiments import folder_runs, runner
from lecdsr.experiments.folder_runs import RESULTS, WORK, FolderRuns
from lecdsr.experiments.plan import SEED, Run
from lecdsr.experiments.runs import RunFailed
from lecdsr.train.checkpoint import Checkpoints
from tests.train.toy import ROOT, write_pair

TOY = Artefacts("toy")
PAIR = """
domains: [X, Y]
release: custom
source: nowhere
custom: {interactions: {file: "{domain}.csv", user: u, item: i, time: t, time_unit: seconds}}
train:
  shared: {epochs: 2, device: cpu}
  sasrec:
"""
EXPERIMENTS = """
seeds: [1, 2]
budget: 1
methods:
  sasrec: {model: sasrec, set: {width: 8, history_length: 6}, grid: [{learning_rate: 1.0e-2}]}
controls:
  random: {method: sasrec, set: {item_text: random}}
"""
SETTING = {"width": 8, "history_length": 6, "batch_size": 8, "item_text": "vectors", "learning_rate": 1e-05}
RUN = Run("sasrec", "sasrec", SEED, "", SETTING, 2, "toy-sasrec-s2-0123456789ab")
#: Packages that a machine need not have to run experiments in folders.
NEEDLESS = ("dvc", "duckdb", "openai", "msgspec", "aiohttp", "sentence_transformers", "matplotlib", "jinja2")


def write_repository(folder):
    """Write the built pair ``toy`` and the files of settings."""
    write_pair(folder)
    tables = [
        read_table(folder / path, schema)
        for path, schema in ((TOY.interactions, INTERACTIONS), (TOY.windows, WINDOWS), (TOY.items, ITEMS))
    ]
    write_table(folder / TOY.candidates, draw_candidates(*tables, Candidates(negatives=3)), CANDIDATES)
    stages = {
        "ask": {"provider": "table", "model": "none"},
        "embed": {"encoder": "random"},
        "candidates": {"sha256": "0"},
        "prompts": {"profiles_by_version": {}},
    }
    for stage, facts in stages.items():
        write_json(folder / TOY.stage_metrics(stage), facts)
    (folder / "pairs").mkdir()
    (folder / "pairs/toy.yaml").write_text(PAIR)
    (folder / "params.yaml").write_text("active: [toy]\nmodels: [popularity]\n")
    (folder / "dvc.yaml").touch()
    (folder / "experiments.yaml").write_text(EXPERIMENTS)
    for name in ("lecdsr", "stages"):
        (folder / name).symlink_to(ROOT / name)


class Stages:
    """Replacement of processes: stages run in this process, and are counted."""

    def __init__(self):
        self.ran, self.failing = [], None

    def __call__(self, command, cwd, env, stdout, **_):
        stage = command[2].removeprefix("stages.")
        self.ran.append(stage)
        if stage == self.failing:
            stdout.write(b"much\nerror: too large\n  where: here\n")
            return subprocess.CompletedProcess(command, 1)
        with contextlib.chdir(cwd), pytest.MonkeyPatch.context() as patch:
            patch.setenv("LECDSR_CHECKPOINTS", env["LECDSR_CHECKPOINTS"])
            importlib.import_module(command[2]).main(*command[4::2])
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def stages(monkeypatch):
    made = Stages()
    monkeypatch.setattr(folder_runs.subprocess, "run", made)
    return made


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_repository(tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", "0")
    monkeypatch.delenv("LECDSR_CHECKPOINTS", raising=False)
    return tmp_path / "repository"


def runs_in(folder):
    return FolderRuns(TOY, Path(folder), 1, [])


def content(finished):
    """Return what two equal runs have in common: everything but the seconds."""
    return finished._replace(times={**finished.times, "seconds": 0})


def test_a_run_has_the_figures_of_its_stages(root, stages):
    runs = runs_in("runs")
    assert not runs.finished(RUN.name)
    runs.run(RUN)
    assert runs.finished(RUN.name)
    assert {path.name for path in (root / "runs" / RUN.name).iterdir()} == {*RESULTS, "run.json"}
    assert not list((root / "runs" / WORK).iterdir())
    found = runs.read(RUN)
    assert {key: found.config["settings"][key] for key in SETTING} == SETTING
    assert (found.config["seed"], found.metrics["run"]["seed"]) == (2, 2)
    assert (found.times["torch"], bool(found.times["processor"])) == (torch.__version__, True)

    pair = YAML(typ="safe").load(PAIR)
    pair["train"] = {"shared": {**pair["train"]["shared"], "seed": 2}, "sasrec": SETTING}
    with open("pairs/toy.yaml", "w") as file:
        YAML(typ="safe").dump(pair, file)
    (root / "params.yaml").write_text("active: [toy]\nmodels: [sasrec]\n")
    for stage, *given in (("settings",), ("train", "sasrec"), ("evaluate", "sasrec")):
        importlib.import_module(f"stages.{stage}").main("toy", *given)
    assert found.metrics == json.loads(TOY.model_metrics("sasrec").read_text())
    assert found.log == TOY.training_log("sasrec").read_text()
    assert found.config == json.loads((TOY.model("sasrec") / "config.json").read_text())
    assert found.ranks.equals(read_table(TOY.ranks("sasrec"), found.ranks.schema))


class Killed(BaseException):
    """The end of a process."""


def killed(*_):
    raise Killed


def test_a_killed_training_resumes(root, stages, monkeypatch, capsys):
    runs_in("unbroken").run(RUN)
    write, written = Checkpoints.write, []

    def killed_later(checkpoints, state):
        write(checkpoints, state)
        written.append(checkpoints.path)
        raise Killed

    monkeypatch.setattr(Checkpoints, "write", killed_later)
    with pytest.raises(Killed):
        runs_in("broken").run(RUN)
    monkeypatch.setattr(Checkpoints, "write", write)
    assert written[-1].is_relative_to(root / ".checkpoints/toy")
    assert not runs_in("broken").finished(RUN.name)
    capsys.readouterr()
    runs_in("broken").run(RUN)
    assert "resuming in epoch" in capsys.readouterr().out
    assert content(runs_in("broken").read(RUN)) == content(runs_in("unbroken").read(RUN))
    assert not written[-1].exists()


def test_a_run_that_failed_in_its_evaluation_is_not_trained_again(root, stages):
    stages.failing = "evaluate"
    with pytest.raises(RunFailed, match="error: too large") as caught:
        runs_in("runs").run(RUN)
    (log,) = (root / "runs" / WORK / RUN.name).glob("evaluate.log")
    assert str(log) in str(caught.value)
    assert not runs_in("runs").finished(RUN.name)
    stages.failing = None
    runs_in("runs").run(RUN)
    assert stages.ran == ["settings", "train", "evaluate", "evaluate"]
    assert runs_in("runs").finished(RUN.name)


def test_what_is_incomplete_is_not_finished(root, stages, monkeypatch):
    runs = runs_in("runs")
    write = folder_runs.write_json
    monkeypatch.setattr(folder_runs, "write_json", killed)
    with pytest.raises(Killed):
        runs.run(RUN)
    monkeypatch.setattr(folder_runs, "write_json", write)
    assert not (root / "runs" / RUN.name).exists()
    runs.run(RUN)
    whole = root / "runs" / RUN.name
    shutil.copytree(whole, root / "runs" / "another-name")
    assert not runs.finished("another-name")
    for name in (*RESULTS, "run.json"):
        data = (whole / name).read_bytes()
        (whole / name).write_bytes(data[:-2])
        assert not runs.finished(RUN.name), name
        (whole / name).unlink()
        assert not runs.finished(RUN.name), name
        (whole / name).write_bytes(data)
        assert runs.finished(RUN.name)
    (whole / "metrics.json").unlink()
    runs.run(RUN)
    assert runs.finished(RUN.name)


def tables(folder):
    """Return everything that Git keeps of the experiments, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("metrics/toy/experiments*/**/*")
        if path.is_file()
    } | {path.name: path.read_bytes() for path in folder.glob("metrics/toy/experiments*.csv")}


def test_a_copied_folder_is_recorded(root, stages, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "hash_of_code", lambda model: "code")
    runner.tune("toy", [], 1, folder=Path("runs"))
    assert stages.ran.count("train") == 4  # the grid and the first seed are one run; another seed, and two controls
    there = tables(root)
    assert len(there) == 2 + 4

    here = tmp_path / "here"
    write_repository(here)
    monkeypatch.chdir(here)
    first = shutil.ignore_patterns("*-s2-*")
    shutil.copytree(root / "runs", "elsewhere", ignore=first)
    (here / "elsewhere" / "toy-sasrec-s1-of-other-code").mkdir()
    (here / "elsewhere" / "notes.txt").write_text("mine")
    (here / "elsewhere" / WORK / "toy-sasrec-s2-killed").mkdir()
    stages.ran.clear()
    runner.tune("toy", [], 1, folder=Path("elsewhere"), record_only=True)
    assert "2 runs are missing" in " ".join(capsys.readouterr().out.split())
    assert len(tables(here)) == 2 + 2
    shutil.copytree(root / "runs", "elsewhere", dirs_exist_ok=True)
    runner.tune("toy", [], 1, folder=Path("elsewhere"), record_only=True)
    assert tables(here) == there
    assert stages.ran == []


HOOK = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NEEDLESS}:
            raise ModuleNotFoundError(f"{{name}} is not on this machine")
sys.meta_path.insert(0, Refuse())
"""
ONE = "seeds: [1]\nbudget: 1\nmethods: {popularity: {model: popularity, grid: [{}]}}\n"


@pytest.mark.slow  # starts four processes
def test_the_command_needs_neither_dvc_nor_git_nor_other_packages(root, tmp_path):
    (root / "experiments.yaml").write_text(ONE)
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    programs = tmp_path / "programs"  # no git and no dvc
    programs.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), str(ROOT)]),
        "PATH": str(programs),
    }
    command = [sys.executable, "-m", "lecdsr.cli.main", "tune", "--pair", "toy", "--folder", "runs"]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    (folder,) = root.glob("runs/toy-*")
    assert f"{folder.name}: seed" in done.stdout
    assert (root / TOY.experiments).read_text().count(folder.name) == 2
