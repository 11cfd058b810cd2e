"""Compare our models with models that others wrote, on the same split, ranked by the same code.

Peers are SASRec, HSTU and UniSRec of RecTools (benchmarks/peers/rectools_id.py, rectools_unisrec.py). Every setting of
a side is trained with the first seed, and the best on validation is chosen. The chosen setting is then trained once
alone on the machine, for seconds and memory, and with the other seeds for quality. Seconds do not count validations.

    python -m benchmarks.peers.compare --pair food_kitchen --folder FOLDER --peer-python ENVIRONMENT/bin/python

`--folder` keeps a record and the ranks of every run, and `runs.jsonl` a line for each; a run that is there is not made
again. Without --peer-python, an environment is made in FOLDER/environment. `--record` copies the records to
metrics/PAIR/peers.json, from which `lecdsr results` writes the section on peers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.plan import TIME, Record, Run, chosen, for_git, grid_runs, seed_runs, time_runs
from benchmarks.peers.sides import OURS, PEERS, grid_of
from lecdsr.config.load import load_pair
from lecdsr.core.console import say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import write_json, write_text
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.report.peers import cost_runs, peers_file, tables

ROOT = Path(__file__).parents[2]
#: What the peers need beside PyTorch. Before Python 3.13 RecTools needs NumPy below 2, which newer PyArrow refuses.
PACKAGES = ("rectools[torch]==0.19.0", "pyarrow>=21,<22", "rich", "ruamel.yaml", "safetensors")
IMPORTS = "import rectools.models, pytorch_lightning, pyarrow, rich, ruamel.yaml, safetensors"
#: Seconds before the end of the time in which no epoch begins, so that the last runs can rank.
RESERVE_S = 15


def environment(folder: Path) -> Path:
    """Make an environment with RecTools, of the PyTorch that runs here, and return its Python.

    Raises:
        UserError: its packages cannot be installed.
    """
    import torch

    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        say(f"making an environment with RecTools in {folder}")
        venv.create(folder, with_pip=True)
        for packages in ([f"torch=={torch.__version__.split('+')[0]}"], PACKAGES):
            command = [str(python), "-m", "pip", "install", "-q", *packages]
            if subprocess.run(command, check=False).returncode:
                raise UserError(
                    f"pip could not install {packages[0]}",
                    where=str(folder),
                    do="see what pip printed above",
                )
        check_environment(python)
        (folder / "complete").touch()
    return python


def check_environment(python: Path) -> None:
    """Check that an environment can import what the peers need.

    Raises:
        UserError: a package is missing or does not fit the others.
    """
    try:
        done = subprocess.run([str(python), "-c", IMPORTS], capture_output=True, text=True, check=False)
        failure = done.stderr.strip().rpartition("\n")[2] if done.returncode else None
    except OSError as error:
        failure = str(error)
    if failure:
        raise UserError(
            f"the environment of the peers does not work: {failure}",
            where=str(python),
            do=f"install {' '.join(PACKAGES)} there, or leave out --peer-python and have an environment made",
        )


class Runner:
    """Runs sides in processes of their own, several at once, until the time is up.

    Args:
        arguments: of the command line.
        folder: where records and ranks are kept.
        deadline: time of :func:`time.time` at which all must have ended; ``None`` is no limit.
    """

    def __init__(self, arguments: Any, folder: Path, deadline: float | None) -> None:
        self._arguments, self._folder, self._deadline = arguments, folder, deadline
        self._active: list[tuple[Run, subprocess.Popen[bytes]]] = []

    def records(self) -> list[Record]:
        """Read all records of the folder, sorted by name."""
        paths = sorted((self._folder / "runs").glob("*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def run(self, runs: Sequence[Run], jobs: int) -> None:
        """Make the runs that are not there, ``jobs`` at once."""
        todo = [run for run in runs if not self._path(run, ".json").exists()]
        while todo or self._active:
            while todo and len(self._active) < jobs and not self._late(RESERVE_S):
                run = todo.pop(0)
                self._active.append((run, self._start(run, alone=jobs == 1)))
            if self._late(RESERVE_S):
                todo = []
            if self._late(0):
                self._stop()
            self._collect()
            time.sleep(0.2)

    def _collect(self) -> None:
        for run, process in list(self._active):
            if process.poll() is None:
                continue
            self._active.remove((run, process))
            if process.returncode:
                warn(f"{run.name} failed; its output is in {self._path(run, '.log')}")
            else:
                say(f"{run.name}: done")
                lines = [json.dumps(record, ensure_ascii=False) for record in self.records()]
                write_text(self._folder / "runs.jsonl", "\n".join(lines) + "\n")

    def _stop(self) -> None:
        for run, process in self._active:
            warn(f"{run.name} was stopped, because the time is up")
            process.kill()
            process.wait()

    def _start(self, run: Run, alone: bool) -> subprocess.Popen[bytes]:
        say(f"{run.name}: {run.side}, seed {run.seed}, {json.dumps(run.setting)}{', alone' if alone else ''}")
        a = self._arguments
        python = sys.executable if run.side in OURS else str(a.peer_python)
        limit = a.epochs if run.side in OURS else a.peer_epochs
        command = [python, "-m", "benchmarks.peers.run", "--side", run.side, "--role", run.role, "--pair", a.pair]
        command += ["--setting", json.dumps(run.setting), "--seed", str(run.seed), "--epochs", str(limit)]
        command += ["--patience", str(a.patience), "--device", a.device, "--precision", a.precision]
        command += ["--out", str(self._path(run, ""))]
        # Ours train to the end: the last epochs of `tandem` score all items and take three times as long.
        if run.role == TIME and run.side in PEERS:
            command += ["--seconds", str(a.time_seconds)]
        if self._deadline is not None:
            command += ["--deadline", str(self._deadline - RESERVE_S)]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = {**os.environ, "OMP_NUM_THREADS": str(a.threads), "PYTHONPATH": path}
        self._path(run, ".log").parent.mkdir(parents=True, exist_ok=True)
        with open(self._path(run, ".log"), "wb") as log:
            return subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)

    def _late(self, reserve: float) -> bool:
        return self._deadline is not None and time.time() > self._deadline - reserve

    def _path(self, run: Run, suffix: str) -> Path:
        return self._folder / "runs" / f"{run.name}{suffix}"


def compare(arguments: Any, folder: Path, deadline: float | None) -> list[Record]:
    """Make the runs of the comparison, as far as the time allows, and return all records."""
    runner = Runner(arguments, folder, deadline)
    grids = {side: grid_of(side, arguments.pair, arguments.settings) for side in arguments.sides}
    first, *_ = arguments.seeds
    runner.run(grid_runs(grids, first), arguments.jobs)
    settings = chosen(runner.records(), grids)
    runner.run(time_runs(settings, first), 1)
    runner.run(seed_runs(settings, arguments.seeds), arguments.jobs)
    return runner.records()


@exit_on_user_error()
def main() -> None:
    """Compare, print the tables, and record the runs if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sides", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--peer-python", type=Path, help="Python with RecTools; by default one is set up in FOLDER")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--settings", type=int, default=3, help="settings tried for each peer")
    parser.add_argument("--epochs", type=int, default=40, help="largest number of epochs of our models")
    parser.add_argument("--peer-epochs", type=int, default=200, help="largest number of epochs of a peer")
    parser.add_argument("--patience", type=int, default=10, help="epochs without a better score that end a peer")
    parser.add_argument("--time-seconds", type=float, default=60, help="seconds of training of a peer for its time")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; those that measure time run alone")
    parser.add_argument("--minutes", type=float, help="end after so many minutes, with what is there")
    parser.add_argument("--record", action="store_true", help="write metrics/PAIR/peers.json")
    arguments = parser.parse_args()
    deadline = None if arguments.minutes is None else time.time() + 60 * arguments.minutes
    folder = arguments.folder.absolute()
    python = arguments.peer_python and arguments.peer_python.absolute()
    enter_repository()
    load_pair(arguments.pair)
    if python:
        check_environment(python)
    elif set(arguments.sides) & set(PEERS):
        python = environment(folder / "environment")
    arguments.peer_python = python
    records = compare(arguments, folder, deadline)
    text = tables(records, load_pair(arguments.pair).domains)
    write_text(folder / "peers.md", text + "\n")
    print(text)
    if arguments.record:
        settings = {side: record["setting"] for side, record in cost_runs(records).items()}
        write_json(peers_file(Artefacts(arguments.pair)), {"runs": for_git(records, settings)})


if __name__ == "__main__":
    main()
