"""Run DVC experiments in separate clones, so that the working tree stays untouched and several can run at once.

`dvc exp run --temp` cannot do this: it stashes the changes of the working tree while it starts, and two runs that
start together may take the same experiment. A clone has the commit and the changed tracked files, and shares the
cache, from which DVC checks out the tables. A finished run is fetched as an experiment of this repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts
from lecdsr.experiments.plan import Run
from lecdsr.experiments.records import FinishedRun
from lecdsr.experiments.revisions import Revision
from lecdsr.experiments.runs import LOCKS, RunFailed, failure_reason, overrides, run_environment
from lecdsr.experiments.sources import parse_ranks

FOLDER = LOCKS / "clones"
#: Paths of results, which runs do not read and which must not affect them.
NO_INPUT = (":!metrics", ":!docs", ":!experiments.yaml")


class DvcRuns:
    """Runs as DVC experiments of this repository, each made in a clone; see :class:`~lecdsr.experiments.runs.Runs`.

    Args:
        artefacts: paths of the pair's files.
        jobs: runs at once, and the number of clones.
        lock: file descriptor of the lock, inherited by the runs.
    """

    def __init__(self, artefacts: Artefacts, jobs: int, lock: int) -> None:
        self._artefacts, self._jobs, self._file = artefacts, jobs, lock
        self._idle: SimpleQueue[DvcClone] = SimpleQueue()
        self._created, self._creating = 0, Lock()

    def run(self, run: Run) -> None:
        """Run training and evaluation as a DVC experiment, in the next idle clone."""
        clone = self._take_clone()
        try:
            clone.run(run)
        finally:
            self._idle.put(clone)

    def _take_clone(self) -> DvcClone:
        with self._creating:
            if self._created < self._jobs and self._idle.empty():
                clone = DvcClone(self._artefacts, self._created + 1, self._jobs, self._file)
                self._created += 1
                return clone
        return self._idle.get()

    def finished(self, name: str) -> bool:
        """Return whether the repository has an experiment with this name."""
        return bool(experiment_refs(name))

    def read(self, run: Run) -> FinishedRun:
        """Read the outputs of an experiment from Git and DVC's cache.

        Raises:
            UserError: an output is missing, for example no longer in the cache.
        """
        return read_finished(run, self._artefacts)


class DvcClone:
    """A clone of the repository that runs one experiment at a time.

    Args:
        artefacts: paths of the pair's files.
        number: number of the clone, which names its folder.
        jobs: runs at once, which share the processors.
        lock: file descriptor of the lock, inherited by the runs.
    """

    def __init__(self, artefacts: Artefacts, number: int, jobs: int, lock: int) -> None:
        self.pair, self.root = artefacts.pair, Path.cwd()
        self.folder = (FOLDER / f"{self.pair}-{number}").absolute()
        self._artefacts, self._lock = artefacts, lock
        self._environment = run_environment(self.root, jobs)
        self._environment.pop("PYTHONPATH", None)  # the clone runs its own code
        self._clone()

    def _clone(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "-q", "--no-tags", str(self.root), str(self.folder))
        for key in ("user.name", "user.email"):
            value = git("config", "--get", key, check=False) or "lecdsr"
            git("config", key, value, folder=self.folder)
        local = self.root / ".dvc" / "config.local"
        if local.exists():
            shutil.copy2(local, self.folder / ".dvc" / "config.local")
        git("config", "--file", ".dvc/config.local", "cache.dir", cache_folder(self.root), folder=self.folder)

    def run(self, run: Run) -> None:
        """Run training and evaluation as an experiment, and fetch it into this repository.

        Raises:
            RunFailed: DVC or a stage failed.
        """
        self._reset()
        self._dvc(*command(self.pair, run.name, run.model, run.setting, run.seed)[1:])
        refs = experiment_refs(run.name, self.folder)
        if not refs:
            raise RunFailed("DVC created no experiment")
        ref = refs[0]
        git("fetch", "-q", str(self.folder), f"{ref}:{ref}")

    def _reset(self) -> None:
        """Reset the clone to the commit plus the changed files of the working tree; DVC checks out the tables."""
        git("reset", "-q", "--hard", folder=self.folder)
        git("clean", "-q", "-f", "-d", folder=self.folder)
        for name in git("diff", "--name-only", "--relative", "HEAD", "--", ".", *NO_INPUT).splitlines():
            if (self.root / name).exists():
                shutil.copy2(self.root / name, self.folder / name)
            else:
                (self.folder / name).unlink(missing_ok=True)
        for path in sorted((self._artefacts.metrics / "stages").glob("*.json")):
            copy = self.folder / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)

    def _dvc(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=[self._lock],
        )
        if done.returncode:
            raise RunFailed(failure_reason(done.stdout))
        return done.stdout


def read_finished(run: Run, artefacts: Artefacts) -> FinishedRun:
    """Read the outputs of an experiment from Git and DVC's cache.

    Raises:
        UserError: an output is missing, for example no longer in the cache.
    """
    revision = Revision(run.name)
    try:
        folder, model = artefacts.model(run.model), run.model

        def text(path: Path) -> str:
            found = revision.text(path)
            if found is None:
                raise UserError(
                    "the experiment has no such file",
                    where=f"{path} of {run.name}",
                    do="run `lecdsr tune` to repeat the run",
                    code="missing-file",
                )
            return found

        def data(path: Path) -> dict[str, Any]:
            return dict(json.loads(revision.data(path)))

        return FinishedRun(
            metrics=json.loads(text(artefacts.model_metrics(model))),
            log=text(artefacts.training_log(model)),
            config=data(folder / "config.json"),
            times=data(artefacts.times(model)),
            ranks=parse_ranks(revision.data(artefacts.ranks(model)), f"{artefacts.ranks(model)} of {run.name}"),
        )
    finally:
        revision.close()


def command(pair: str, name: str, model: str, setting: dict[str, Any], seed: int) -> list[str]:
    """Build the DVC command of an experiment: one pair, one model, one setting, one seed.

    ``--single-item`` runs no upstream stage: their outputs are those of the last `dvc repro`, and their raw files need
    not be here. DVC then runs the stages in the given order, so `settings` comes first; otherwise training would read
    the old settings.
    """
    values = overrides(model, setting, seed)
    own = [f"pairs/{pair}.yaml:++{key}={json.dumps(value)}" for key, value in values.items()]
    changes = [f"active=[{pair}]", f"models=[{model}]", *own]
    switches = [part for change in changes for part in ("-S", change)]
    stages = [f"settings@{pair}", f"train@{pair}-{model}", f"evaluate@{pair}-{model}"]
    return ["dvc", "exp", "run", "--name", name, "--single-item", *switches, *stages]


def cache_folder(root: Path) -> str:
    """Return the cache folder of a DVC repository."""
    from dvc.repo import Repo

    with Repo(str(root)) as repository:
        return str(Path(repository.cache.local.path).parents[1])  # strips `files/md5`


def experiment_refs(name: str, folder: Path | None = None) -> list[str]:
    """List the Git references of the experiments with this name, from any base commit."""
    return git("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}", folder=folder).splitlines()


def git(*arguments: str, folder: Path | None = None, check: bool = True) -> str:
    """Run a git command and return its output.

    Raises:
        UserError: the command failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], cwd=folder, env=kept, text=True, capture_output=True, check=False)
    if check and done.returncode:
        raise UserError(
            f"git {arguments[0]} failed: {done.stderr.strip()}",
            where=str(folder or Path.cwd()),
            do="run the command inside a clone made by Git",
        )
    return done.stdout.strip()
