"""`lecdsr tune`: run the declared experiments and record their results as tables in Git."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from lecdsr.config.load import load_block, load_pair
from lecdsr.core.console import say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.files import require, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.evaluate.settings import Settings as Evaluate
from lecdsr.experiments.config import Experiments, Setting, load_experiments, resolve, select_methods
from lecdsr.experiments.dvc_clone import DvcRuns
from lecdsr.experiments.fingerprint import fingerprint, hash_of_code, hash_of_data, tables
from lecdsr.experiments.folder_runs import WORK, FolderRuns
from lecdsr.experiments.plan import CONTROL, GRID, SEED, Run, best_run, grid_runs, seed_and_control_runs
from lecdsr.experiments.records import (
    COLUMNS,
    SLICE_COLUMNS,
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
from lecdsr.experiments.runs import RunFailed, Runs, experiments_lock
from lecdsr.train.settings import TrainSettings


def tune(
    pair: str,
    names: Sequence[str],
    jobs: int,
    seeds: int | None = None,
    folder: Path | None = None,
    minutes: float | None = None,
    record_only: bool = False,
) -> None:
    """Run the experiments of a pair that are not recorded yet: grids, chosen settings, controls.

    Args:
        pair: name of the pair.
        names: names of methods, run in this order; empty for all.
        jobs: runs at once.
        seeds: number of declared seeds to run, starting with the first; None for all. Records of other seeds are kept.
        folder: folder of runs that are made without DVC and Git; None makes DVC experiments.
        minutes: time after which no run is started; None for no limit.
        record_only: start no run, only record those that are finished.

    Raises:
        UserError: the declaration is invalid, the pair is not built, or some runs failed.
    """
    start = time.monotonic()
    artefacts = Artefacts(pair)
    load_pair(pair)
    declared = load_experiments(pair)
    methods = list(select_methods(declared, list(names)))
    for path in tables(artefacts):
        require(path, do=f"build the pair first: `dvc repro candidates@{pair} embed@{pair}`")
    deadline = -math.inf if record_only else math.inf if minutes is None else start + 60 * minutes
    with _open_runs(artefacts, folder, jobs) as runs:
        runner = ExperimentRunner(artefacts, declared, runs, jobs, seeds, deadline)
        runner.run_missing([run for one in methods for run in grid_runs(declared, one, runner.name)], methods, {GRID})
        chosen = {method: runner.runs_after_grid(method) for method in methods if runner.grid_is_tried(method)}
        runner.run_missing([run for some in chosen.values() for run in some], list(chosen), {SEED, CONTROL})
    say(f"table: {artefacts.experiments}")
    runner.report()


@contextmanager
def _open_runs(artefacts: Artefacts, folder: Path | None, jobs: int) -> Iterator[Runs]:
    """Lock the experiments of a pair, whose tables are written here, and yield the way to run them."""
    with experiments_lock(artefacts.pair) as lock:
        if folder is None:
            yield DvcRuns(artefacts, jobs, lock)
            return
        with experiments_lock(artefacts.pair, folder / WORK) as second:
            yield FolderRuns(artefacts, folder, jobs, [lock, second])


class ExperimentRunner:
    """Runner of the experiments of one pair; it also keeps their records.

    Args:
        artefacts: paths of the pair's files.
        declared: the experiments.
        runs: where runs are trained and their results kept.
        jobs: runs at once.
        seeds: number of declared seeds to run; None for all.
        deadline: time of ``time.monotonic`` after which no run is started.
    """

    def __init__(
        self,
        artefacts: Artefacts,
        declared: Experiments,
        runs: Runs,
        jobs: int,
        seeds: int | None,
        deadline: float,
    ) -> None:
        self._artefacts, self._declared = artefacts, declared
        self._runs, self._jobs, self._deadline = runs, jobs, deadline
        self._seeds = declared.seeds[:seeds]
        self.failed: list[str] = []
        #: Names of runs that were not started.
        self.missing: set[str] = set()
        self._data = hash_of_data(artefacts)
        self._code: dict[str, str] = {}
        #: Names of the planned runs of a method in a role, once they are known.
        self._planned: dict[tuple[str, str], set[str]] = {}
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

    def grid_is_tried(self, method: str) -> bool:
        """Return whether every setting of a method's grid has been tried, so that the best can be chosen."""
        left = self.missing & {run.name for run in grid_runs(self._declared, method, self.name)}
        if left:
            say(f"{method}: no setting is chosen yet, missing runs of its grid: {len(left)}")
        return not left

    def run_missing(self, runs: Sequence[Run], methods: Sequence[str], roles: set[str]) -> None:
        """Run the planned runs of methods that are not recorded; drop other records of the same methods and roles."""
        for method in methods:
            for role in roles:
                self._planned[method, role] = {run.name for run in runs if (run.method, run.role) == (method, role)}
        there = {(row["role"], row["control"], row["experiment"]) for row in self._rows}
        runs = [run for run in runs if run.seed in self._seeds]
        missing = [run for run in runs if (run.role, run.control, run.name) not in there]
        todo: dict[str, list[Run]] = {}
        for run in missing:
            todo.setdefault(run.name, []).append(run)
        finished = [name for name in todo if self._runs.finished(name)]
        say(f"{len(runs)} runs, {len(runs) - len(missing)} of them recorded, {len(finished)} more finished")
        for name in finished:
            self._record(todo.pop(name))
        self._parallel(todo)
        self._write()

    def _parallel(self, todo: dict[str, list[Run]]) -> None:
        waiting = list(todo.values())
        with ThreadPoolExecutor(self._jobs) as pool:
            under_way: dict[Future[None], list[Run]] = {}
            while under_way or (waiting and self._may_start()):
                while waiting and len(under_way) < self._jobs and self._may_start():
                    same = waiting.pop(0)
                    under_way[pool.submit(self._runs.run, same[0])] = same
                finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in finished:
                    self._finish(future, under_way.pop(future))
        self.missing |= {same[0].name for same in waiting}

    def _may_start(self) -> bool:
        return time.monotonic() < self._deadline

    def _finish(self, future: Future[None], same: list[Run]) -> None:
        run = same[0]
        try:
            future.result()
        except RunFailed as error:
            self.failed.append(run.name)
            warn(f"{run.name} failed ({compact(run.setting)}):\n{error}")
            return
        self._record(same)

    def report(self) -> None:
        """Say how many runs are missing.

        Raises:
            UserError: runs failed.
        """
        if self.missing:
            say(f"missing runs: {len(self.missing)}; the command without --record-only and --minutes runs them")
        if self.failed:
            raise UserError(
                f"{len(self.failed)} runs failed: {', '.join(self.failed)}",
                where=str(self._artefacts.experiments),
                do="correct the errors shown above and run the same command: it repeats only the failed runs",
                code="failed-runs",
            )

    def _record(self, same: Iterable[Run]) -> None:
        """Add the rows of a finished run and write the tables immediately."""
        for run in same:
            try:
                finished = self._runs.read(run)
            except UserError as error:
                self.failed.append(run.name)
                warn(f"{run.name} cannot be read: {error}")
                continue
            self._rows.append(row_of(run, finished, self._code[run.model]))
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
            wanted = self._planned.get((row["method"], role))  # None: the runs of this role are not planned yet
            return wanted is None or row["experiment"] in wanted

        rows = [row for row in self._rows if stays(row)]
        # A row in the first table marks a run as recorded, so that table is written last.
        write_rows(self._artefacts.experiment_slices, SLICE_COLUMNS, filter(stays, self._slices))
        write_rows(self._artefacts.experiments, COLUMNS, rows)
        kept = {rank_file(self._artefacts, row["experiment"]) for row in rows if row["role"] != GRID}
        for path in set(self._artefacts.experiment_ranks.glob("*.parquet")) - kept:
            path.unlink()
