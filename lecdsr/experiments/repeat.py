"""`lecdsr results --check`: repeat one recorded run, drawn by a seed, and compare its figures."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lecdsr.core.console import console, say
from lecdsr.core.errors import UserError
from lecdsr.core.files import require
from lecdsr.core.paths import Artefacts
from lecdsr.experiments.config import load_experiments
from lecdsr.experiments.fingerprint import hash_of_code, tables
from lecdsr.experiments.folder_runs import FolderRuns
from lecdsr.experiments.plan import GRID, Run
from lecdsr.experiments.records import COLUMNS, TESTS, Row, read_rows, row_of
from lecdsr.experiments.runner import ExperimentRunner
from lecdsr.experiments.runs import LOCKS, RunFailed, Runs, experiments_lock
from lecdsr.models.registry import model_names

#: Columns that must be equal for the figures to be equal.
MACHINE = ("device", "processor", "threads", "torch")
FIGURES = ("valid_ndcg@10", *TESTS)
#: Allowed difference on another machine: in standard deviations over seeds, or as a share of the figure for one seed.
DEVIATIONS, SHARE = 4.0, 0.1


class Figure(NamedTuple):
    """A recorded figure, the repeated one, and the difference that is allowed."""

    name: str
    recorded: float
    repeated: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the repeated figure is close enough."""
        return abs(self.repeated - self.recorded) <= self.allowed


def check_results(pairs: Sequence[str], seed: int) -> None:
    """Draw a recorded run of the present code, repeat it, and print a table that says which figures are the same.

    Raises:
        UserError: no run can be repeated here, the run failed, or a figure differs by more than is allowed.
    """
    pair, row = draw(pairs, seed)
    artefacts, run = Artefacts(pair), run_of(row)
    for path in tables(artefacts):
        require(path, do=f"build the pair first: `dvc repro candidates@{pair} embed@{pair}`")
    LOCKS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=LOCKS) as name, experiments_lock(pair, Path(name)) as lock:
        runs = FolderRuns(artefacts, Path(name), jobs=1, locks=[lock])
        again = repeat(run, runs, artefacts)
    found = compare(row, again, read_rows(artefacts.experiments, COLUMNS))
    _show(run, row, again, found)
    failed = [figure.name for figure in found if not figure.passed]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(found)} figures of {run.name} are not repeated: {', '.join(failed)}",
            where=str(artefacts.experiments),
            do="compare the two machines; if they are the same, report it as an error",
            code="not-repeated",
        )


def draw(pairs: Sequence[str], seed: int) -> tuple[str, Row]:
    """Draw one of the recorded runs with test figures that were made by the present code; same records, same draw.

    Raises:
        UserError: there is none.
    """
    code = {model: hash_of_code(model) for model in model_names()}
    rows = [
        (pair, row)
        for pair in dict.fromkeys(pairs)
        for row in read_rows(Artefacts(pair).experiments, COLUMNS)
        if row["role"] != GRID and row["code"] == code.get(row["model"])
    ]
    if not rows:
        raise UserError(
            "no run of the present code is recorded",
            where=", ".join(str(Artefacts(pair).experiments) for pair in pairs),
            do="run `lecdsr tune`, which repeats the runs of older code",
            code="no-runs",
        )
    return rows[int(np.random.default_rng(seed).integers(len(rows)))]


def run_of(row: Row) -> Run:
    """Return the run that made a row."""
    key = (row["method"], row["model"], row["role"], row["control"])
    return Run(*key, json.loads(row["setting"]), int(row["seed"]), row["experiment"])


def repeat(run: Run, runs: Runs, artefacts: Artefacts) -> Row:
    """Repeat a run and return its row.

    Raises:
        UserError: its settings or the tables of the pair are not those of the recorded run, or it failed.
    """
    planned = ExperimentRunner(artefacts, load_experiments(artefacts.pair), runs, 1, None, math.inf)
    if planned.name(run.method, run.setting, run.seed) != run.name:
        raise UserError(
            f"{run.name} was made from other settings or tables than those that are here",
            where=str(artefacts.experiments),
            do=f"rebuild the tables with `dvc repro embed@{artefacts.pair}`, or repeat the runs with `lecdsr tune`",
            code="other-inputs",
        )
    say(f"repeating {run.name}: {run.control or run.method}, seed {run.seed}")
    try:
        runs.run(run)
    except RunFailed as error:
        raise UserError(
            f"{run.name} failed: {error}", where=str(artefacts.experiments), do="correct the error and try again"
        ) from error
    return row_of(run, runs.read(run), hash_of_code(run.model))


def compare(recorded: Row, repeated: Row, rows: Sequence[Row]) -> list[Figure]:
    """Compare the figures of a recorded and a repeated run.

    Args:
        recorded: row of the recorded run.
        repeated: row of the repeated run.
        rows: all recorded rows of the pair, for the deviation between the seeds of a method.
    """
    same = [row for row in rows if (row["method"], row["role"], row["control"]) == _group(recorded)]
    exact = all(recorded[name] == repeated[name] for name in MACHINE)
    found = []
    for name in FIGURES:
        if recorded[name]:
            seeds = [float(row[name]) for row in same if row[name]]
            wide = DEVIATIONS * float(np.std(seeds, ddof=1)) if len(seeds) > 1 else SHARE * float(recorded[name])
            again = float(repeated[name]) if repeated[name] else math.nan
            found.append(Figure(name, float(recorded[name]), again, 0.0 if exact else wide))
    return found


def _group(row: Row) -> tuple[str, str, str]:
    return row["method"], row["role"], row["control"]


def _show(run: Run, recorded: Row, repeated: Row, found: Sequence[Figure]) -> None:
    machines = [", ".join(f"{name} {row[name] or 'not recorded'}" for name in MACHINE) for row in (recorded, repeated)]
    say(f"recorded on: {machines[0]}")
    say(f"repeated on: {machines[1]}")
    table = Table(title=run.name, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("figure")
    for column in ("recorded", "repeated", "difference", "allowed"):
        table.add_column(column, justify="right")
    table.add_column("")
    for one in found:
        cells = (f"{one.recorded:.6f}", f"{one.repeated:.6f}", f"{one.repeated - one.recorded:+.6f}")
        table.add_row(one.name, *cells, f"{one.allowed:.6f}", "PASS" if one.passed else "FAIL")
    console.print(table)
