"""`lecdsr tune`: run the declared experiments as DVC experiments and record their results as tables in Git."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from lecdsr.config.load import load_block, load_pair
from lecdsr.core.console import say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.files import require, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.evaluate.settings import Settings as Evaluate
from lecdsr.experiments.config import Experiments, Setting, load_experiments, resolve, select_methods
from lecdsr.experiments.dvc_clone import DvcClone, RunFailed, experiment_names, experiments_lock
from lecdsr.experiments.fingerprint import fingerprint, hash_of_code, hash_of_data, tables
from lecdsr.experiments.plan import CONTROL, GRID, SEED, Run, best_run, grid_runs, seed_and_control_runs
from lecdsr.experiments.records import (
    COLUMNS,
    SLICE_COLUMNS,
    FinishedRun,
    Row,
    compact,
    has_parameters,
    rank_file,
    ranks_of_test,
    read_rows,
    row_of,
    slice_rows,
    write_rows,
)
from lecdsr.experiments.revisions import Revision
from lecdsr.experiments.sources import parse_ranks
from lecdsr.train.settings import TrainSettings


def tune(pair: str, names: Sequence[str], jobs: int, seeds: int | None = None) -> None:
    """Run the experiments of a pair that are not recorded yet: grids, chosen settings, controls.

    Args:
        pair: name of the pair.
        names: names of methods; empty for all.
        jobs: runs at once.
        seeds: number of declared seeds to run, starting with the first; None for all. Records of other seeds are kept.

    Raises:
        UserError: the declaration is invalid, the pair is not built, or some runs failed.
    """
    artefacts = Artefacts(pair)
    load_pair(pair)
    declared = load_experiments(pair)
    methods = select_methods(declared, list(names))
    for path in tables(artefacts):
        require(path, do=f"build the pair first: `dvc repro candidates@{pair} embed@{pair}`")
    with experiments_lock(pair) as lock:
        runner = ExperimentRunner(artefacts, declared, list(methods), jobs, lock, seeds)
        runner.run_missing([run for method in methods for run in grid_runs(declared, method, runner.name)], {GRID})
        runner.run_missing([run for method in methods for run in runner.runs_after_grid(method)], {SEED, CONTROL})
    say(f"table: {artefacts.experiments}")
    if runner.failed:
        raise UserError(
            f"{len(runner.failed)} runs failed: {', '.join(runner.failed)}",
            where=str(artefacts.experiments),
            do="correct the errors shown above and run the same command: it repeats only the failed runs",
            code="failed-runs",
        )


class ExperimentRunner:
    """Runner of the experiments of one pair; it also keeps their records."""

    def __init__(
        self, artefacts: Artefacts, declared: Experiments, methods: list[str], jobs: int, lock: int, seeds: int | None
    ) -> None:
        self._artefacts, self._declared, self._methods = artefacts, declared, methods
        self._seeds = declared.seeds[:seeds]
        self._jobs, self._lock = jobs, lock
        self.failed: list[str] = []
        self._idle_clones: SimpleQueue[DvcClone] = SimpleQueue()
        self._created = 0
        self._data = hash_of_data(artefacts)
        self._code: dict[str, str] = {}
        self._planned: dict[str, set[str]] = {}
        self._rows = read_rows(artefacts.experiments, COLUMNS)
        self._slices = read_rows(artefacts.experiment_slices, SLICE_COLUMNS)

    def name(self, method: str, setting: Setting, seed: int) -> str:
        """Return the experiment name of a run, which contains the fingerprint of its inputs and settings."""
        given, pair = self._declared.methods[method], self._artefacts.pair
        model = given.model
        if model not in self._code:
            self._code[model] = hash_of_code(model)
        shared = load_block("train", TrainSettings, pair, "shared").training.model_copy(update={"seed": seed})
        rules = load_block("evaluate", Evaluate, pair)
        settings = [resolve(pair, given, setting), shared.model_dump(), rules.model_dump()]
        return f"{pair}-{method}-s{seed}-{fingerprint(model, settings, self._data, self._code[model])}"

    def runs_after_grid(self, method: str) -> list[Run]:
        """Plan the runs after the grid, with the setting that is best on validation; none if every grid run failed."""
        runs = grid_runs(self._declared, method, self.name)
        names = {run.name for run in runs}
        found = [row for row in self._rows if row["role"] == GRID and row["experiment"] in names]
        best = best_run(runs, {row["experiment"]: float(row["valid_ndcg@10"]) for row in found})
        if best is None:
            warn(f"{method}: no setting of its grid could be trained")
            return []
        say(f"{method}: best of {len(found)} settings on validation: {compact(best.setting)}")
        (row,) = [row for row in found if row["experiment"] == best.name]
        return seed_and_control_runs(self._declared, method, best.setting, self.name, has_parameters(row))

    def run_missing(self, runs: Sequence[Run], roles: set[str]) -> None:
        """Run the planned runs that are not recorded; drop records of the same roles and methods outside the plan."""
        self._planned |= {role: {run.name for run in runs if run.role == role} for role in roles}
        there = {(row["role"], row["control"], row["experiment"]) for row in self._rows}
        runs = [run for run in runs if run.seed in self._seeds]
        missing = [run for run in runs if (run.role, run.control, run.name) not in there]
        known = experiment_names()
        todo: dict[str, list[Run]] = {}
        for run in missing:
            todo.setdefault(run.name, []).append(run)
        done = len(runs) - len(missing)
        say(f"{len(runs)} runs, {done} of them recorded, {len(set(todo) & known)} more finished")
        for name in [name for name in todo if name in known]:
            self._record(todo.pop(name))
        self._parallel(todo)
        self._write()

    def _parallel(self, todo: dict[str, list[Run]]) -> None:
        with ThreadPoolExecutor(self._jobs) as pool:
            waiting = list(todo.values())
            under_way: dict[Future[None], list[Run]] = {}
            while waiting or under_way:
                while waiting and len(under_way) < self._jobs:
                    same = waiting.pop(0)
                    under_way[pool.submit(self._train, same[0], self._take_clone())] = same
                finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in finished:
                    self._finish(future, under_way.pop(future))

    def _finish(self, future: Future[None], same: list[Run]) -> None:
        run = same[0]
        try:
            future.result()
        except RunFailed as error:
            self.failed.append(run.name)
            warn(f"{run.name} failed ({compact(run.setting)}):\n{error}")
            return
        self._record(same)

    def _take_clone(self) -> DvcClone:
        if self._created < self._jobs and self._idle_clones.empty():
            threads = max(1, (os.cpu_count() or 1) // self._jobs)
            self._created += 1
            return DvcClone(self._artefacts, self._created, threads, self._lock)
        return self._idle_clones.get()

    def _train(self, run: Run, clone: DvcClone) -> None:
        try:
            clone.run(run.name, run.model, run.setting, run.seed)
        finally:
            self._idle_clones.put(clone)

    def _record(self, same: Iterable[Run]) -> None:
        """Add the rows of a finished run and write the tables immediately."""
        for run in same:
            try:
                finished = read_finished(run, self._artefacts)
            except UserError as error:
                self.failed.append(run.name)
                warn(f"{run.name} cannot be read: {error}")
                continue
            self._rows.append(row_of(run, finished))
            if run.role != GRID:
                write_table(rank_file(self._artefacts, run.name), ranks_of_test(finished.ranks), RANKS)
                old = (run.name, run.control)
                self._slices = [row for row in self._slices if (row["experiment"], row["control"]) != old]
                self._slices += slice_rows(run, finished.ranks)
            score = f"{finished.config['valid_ndcg@10']:.4f}"
            say(f"{run.name}: {run.control or run.role}, validation {score}, {finished.times['seconds']:.0f} s")
        self._write()

    def _write(self) -> None:
        def stays(row: Row) -> bool:
            role = row.get("role") or (CONTROL if row["control"] else SEED)
            wanted = self._planned.get(role)  # None: the runs of this role are not planned yet
            return row["method"] not in self._methods or wanted is None or row["experiment"] in wanted

        rows = [row for row in self._rows if stays(row)]
        # A row in the first table marks a run as recorded, so that table is written last.
        write_rows(self._artefacts.experiment_slices, SLICE_COLUMNS, filter(stays, self._slices))
        write_rows(self._artefacts.experiments, COLUMNS, rows)
        kept = {rank_file(self._artefacts, row["experiment"]) for row in rows if row["role"] != GRID}
        for path in set(self._artefacts.experiment_ranks.glob("*.parquet")) - kept:
            path.unlink()


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
