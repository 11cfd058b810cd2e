"""Run experiments in folders, without DVC and Git, so that their results can be carried from one machine to another.

A finished run is a folder ``DIR/NAME`` with its results and ``run.json``, which holds the SHA-256 of each of them. It
is put together elsewhere and renamed, so that it is complete or absent; the checksums tell whether a copy of it is
complete as well. Runs under way are in ``DIR/.work``.
"""

from __future__ import annotations

import copy
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lecdsr.config.load import PAIRS, PARAMS, read_yaml
from lecdsr.core.console import warn
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, sha256_file, write_json, write_text
from lecdsr.core.paths import Artefacts
from lecdsr.experiments.plan import Run
from lecdsr.experiments.records import FinishedRun
from lecdsr.experiments.runs import RunFailed, failure_reason, overrides, run_environment
from lecdsr.experiments.sources import parse_ranks

WORK, MANIFEST = ".work", "run.json"
METRICS, TRAINING, CONFIG, TIMES, RANKS = RESULTS = (
    "metrics.json", "training.csv", "config.json", "times.json", "ranks.parquet",
)  # fmt: skip


class FolderRuns:
    """Runs in folders; see :class:`~lecdsr.experiments.runs.Runs`.

    Args:
        artefacts: paths of the pair's files.
        folder: folder of all runs.
        jobs: runs at once, which share the processors.
        locks: file descriptors of locks, inherited by the runs.
    """

    def __init__(self, artefacts: Artefacts, folder: Path, jobs: int, locks: list[int]) -> None:
        self._artefacts, self._folder, self._locks = artefacts, folder.absolute(), locks
        self._root = Path.cwd()
        self._environment = run_environment(self._root, jobs)
        paths = [str(self._root), self._environment.get("PYTHONPATH", "")]
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

    def run(self, run: Run) -> None:
        """Train and evaluate a run in a work folder, and keep its results.

        A killed training resumes from its checkpoint; one that had finished is only evaluated.

        Raises:
            RunFailed: a stage failed; its work folder is kept, with the output of each stage in ``STAGE.log``.
        """
        work = self._folder / WORK / run.name
        self._prepare(work, run)
        if not (work / self._artefacts.times(run.model)).exists():  # training writes it last
            self._stage(work, "settings")
            self._stage(work, "train", "--model", run.model)
        self._stage(work, "evaluate", "--model", run.model)
        self._keep(work, run)
        shutil.rmtree(work)

    def _prepare(self, work: Path, run: Run) -> None:
        """Write the settings of the run, and link the tables that training and ranking read."""
        pair = PAIRS / f"{self._artefacts.pair}.yaml"
        selection = {"active": [self._artefacts.pair], "models": [run.model]}
        _write_yaml(work / PARAMS, {**read_yaml(PARAMS), **selection})
        own = copy.deepcopy(read_yaml(pair))  # the parsed file is cached
        for key, value in overrides(run.model, run.setting, run.seed).items():
            _set(own, key, value)
        _write_yaml(work / pair, own)
        write_text(work / "dvc.yaml", "# Marks the root of a repository.\n")
        tables = [self._artefacts.sequences, self._artefacts.item_vectors.parent, self._artefacts.candidates]
        for path in [*tables, self._artefacts.metrics / "stages"]:
            link = work / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self._root / path)

    def _stage(self, work: Path, stage: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"stages.{stage}", "--pair", self._artefacts.pair, *arguments]
        output = work / f"{stage}.log"
        with open(output, "wb") as log:
            done = subprocess.run(
                command,
                cwd=work,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                pass_fds=self._locks,
            )
        if done.returncode:
            reason = failure_reason(output.read_text(encoding="utf-8", errors="replace"))
            raise RunFailed(f"{reason or f'exit code {done.returncode}'}\n(whole output: {output})")

    def _keep(self, work: Path, run: Run) -> None:
        """Move the results to the folder of the run; without this last step the run does not count as finished."""
        results, target = work / "results", self._folder / run.name
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir()
        for name, path in result_files(self._artefacts, run.model).items():
            shutil.copyfile(work / path, results / name)
        sums = {path.name: sha256_file(path) for path in sorted(results.iterdir())}
        write_json(results / MANIFEST, {"run": run.name, "sha256": sums})
        shutil.rmtree(target, ignore_errors=True)  # an incomplete copy
        os.replace(results, target)

    def finished(self, name: str) -> bool:
        """Return whether the folder of a run is here and complete; warn if it is incomplete."""
        folder = self._folder / name
        if not folder.exists():
            return False
        whole = _complete(folder)
        if not whole:
            warn(f"{folder} is incomplete and is ignored; copy it again, or the run is repeated")
        return whole

    def read(self, run: Run) -> FinishedRun:
        """Read the results of a finished run.

        Raises:
            UserError: a file is missing or broken.
        """
        folder = self._folder / run.name
        ranks = folder / RANKS
        return FinishedRun(
            metrics=read_json(folder / METRICS),
            log=(folder / TRAINING).read_text(encoding="utf-8"),
            config=read_json(folder / CONFIG),
            times=read_json(folder / TIMES),
            ranks=parse_ranks(ranks.read_bytes(), str(ranks)),
        )


def result_files(artefacts: Artefacts, model: str) -> dict[str, Path]:
    """Return the files that make up the results of a run: paths in its work folder by name in its folder."""
    return {
        METRICS: artefacts.model_metrics(model),
        TRAINING: artefacts.training_log(model),
        CONFIG: artefacts.model(model) / "config.json",
        TIMES: artefacts.times(model),
        RANKS: artefacts.ranks(model),
    }


def _complete(folder: Path) -> bool:
    """Return whether a folder holds the results of the run that it is named after, unchanged."""
    try:
        manifest = read_json(folder / MANIFEST)
        sums = {name: sha256_file(folder / name) for name in RESULTS}
    except (UserError, OSError):
        return False
    return manifest == {"run": folder.name, "sha256": sums}


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key, and make the blocks on the way that are missing or empty."""
    *path, last = key.split(".")
    for part in path:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
    values[last] = value


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    text = io.StringIO()
    YAML(typ="safe").dump(values, text)
    write_text(path, text.getvalue())
