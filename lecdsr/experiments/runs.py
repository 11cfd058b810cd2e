"""Interface of the two ways to run experiments, as DVC experiments or in folders, and what both ways share."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lecdsr.core.errors import UserError
from lecdsr.core.paths import CHECKPOINTS
from lecdsr.experiments.plan import Run
from lecdsr.experiments.records import FinishedRun

LOCKS = Path(".experiments")
SHOWN_LINES = 12


class RunFailed(Exception):
    """Error of a run that failed; the message is the end of its output."""


class Runs(Protocol):
    """A way to train and evaluate runs and to keep their results; its methods may be called by several threads."""

    def run(self, run: Run) -> None:
        """Train and evaluate a run, and keep its results.

        Raises:
            RunFailed: it failed.
        """

    def finished(self, name: str) -> bool:
        """Return whether the results of a run are here."""

    def read(self, run: Run) -> FinishedRun:
        """Read the results of a finished run.

        Raises:
            UserError: they cannot be read.
        """


@contextmanager
def experiments_lock(pair: str, folder: Path = LOCKS) -> Iterator[int]:
    """Hold the lock of a pair's experiments in a folder, and yield its file descriptor.

    Runs inherit the descriptor, so that the lock is held until the last run has ended.

    Raises:
        UserError: another process holds it.
    """
    path = folder / f"{pair}.lock"
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


def overrides(model: str, setting: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what a run changes in the file of its pair: values by dotted key."""
    return {f"train.{model}.{key}": value for key, value in setting.items()} | {"train.shared.seed": seed}


def run_environment(root: Path, jobs: int) -> dict[str, str]:
    """Return the environment of a run: its share of the processors, and checkpoints that any later run can resume.

    Args:
        root: root of the repository, where the checkpoints are kept unless ``LECDSR_CHECKPOINTS`` names a folder.
        jobs: runs at once.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "OMP_NUM_THREADS": str(max(1, processors() // jobs)),
        CHECKPOINTS: str((root / (kept.get(CHECKPOINTS) or ".checkpoints")).absolute()),
    }


def processors() -> int:
    """Return the number of processors that this process may use; a cluster often gives a job a part of a machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def failure_reason(output: str) -> str:
    """Extract the error from the output of a failed command: the stage's message, else the last lines."""
    lines = [line for line in output.splitlines() if line.strip()]
    start = next((number for number, line in enumerate(lines) if line.startswith("error:")), len(lines) - SHOWN_LINES)
    return "\n".join(lines[max(0, start) :][:SHOWN_LINES])
