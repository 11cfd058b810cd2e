"""Run DVC experiments in separate clones, so that the working tree stays untouched and several can run at once.

`dvc exp run --temp` cannot do this: it stashes the changes of the working tree while it starts, and two runs that
start together may take the same experiment. A clone has the commit and the changed tracked files, and shares the
cache, from which DVC checks out the tables. A finished run is fetched as an experiment of this repository.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts

FOLDER = Path(".experiments") / "clones"
#: Paths of results, which runs do not read and which must not affect them.
NO_INPUT = (":!metrics", ":!docs", ":!experiments.yaml")
SHOWN_LINES = 12


class RunFailed(Exception):
    """Error of an experiment that failed; the message is the end of DVC's output."""


@contextmanager
def experiments_lock(pair: str) -> Iterator[int]:
    """Hold the lock of a pair's experiments; runs inherit it, so that it is held until the last run has ended.

    Raises:
        UserError: another process holds it.
    """
    path = FOLDER / f"{pair}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"experiments of the pair {pair!r} are still running, perhaps a run of a killed command",
                where=str(path),
                do="wait for them, or end their processes (`fuser` with this file lists them)",
                code="running",
            ) from error
        yield file.fileno()


class DvcClone:
    """A clone of the repository that runs one experiment at a time.

    Args:
        artefacts: paths of the pair's files.
        number: number of the clone, which names its folder.
        threads: processor threads of each training.
        lock: file descriptor of the lock, inherited by the runs.
    """

    def __init__(self, artefacts: Artefacts, number: int, threads: int, lock: int) -> None:
        self.pair, self.root = artefacts.pair, Path.cwd()
        self.folder = (FOLDER / f"{self.pair}-{number}").absolute()
        self._artefacts, self._lock = artefacts, lock
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
        bin_folder = Path(sys.executable).parent
        self._environment = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{kept.get('PATH', '')}",
            "OMP_NUM_THREADS": str(threads),
            # Checkpoints are kept outside the clone, so that any clone can resume those of a killed run.
            "LECDSR_CHECKPOINTS": kept.get("LECDSR_CHECKPOINTS") or str(self.root / ".checkpoints"),
        }
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

    def run(self, name: str, model: str, setting: dict[str, Any], seed: int) -> None:
        """Run training and evaluation as the experiment ``name``, and fetch it into this repository.

        Raises:
            RunFailed: DVC or a stage failed.
        """
        self._reset()
        self._dvc(*command(self.pair, name, model, setting, seed)[1:])
        refs = experiment_refs(name, self.folder)
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


def command(pair: str, name: str, model: str, setting: dict[str, Any], seed: int) -> list[str]:
    """Build the DVC command of an experiment: one pair, one model, one setting, one seed.

    ``--single-item`` runs no upstream stage: their outputs are those of the last `dvc repro`, and their raw files need
    not be here. DVC then runs the stages in the given order, so `settings` comes first; otherwise training would read
    the old settings.
    """
    values = {f"train.{model}.{key}": value for key, value in setting.items()} | {"train.shared.seed": seed}
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


def experiment_names() -> set[str]:
    """Return the names of all experiments of this repository."""
    refs = git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    return {ref.rsplit("/", 1)[1] for ref in refs if ref.count("/") == 4}


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


def failure_reason(output: str) -> str:
    """Extract the error from the output of a failed command: the stage's message, else the last lines."""
    lines = [line for line in output.splitlines() if line.strip()]
    start = next((number for number, line in enumerate(lines) if line.startswith("error:")), len(lines) - SHOWN_LINES)
    return "\n".join(lines[max(0, start) :][:SHOWN_LINES])
