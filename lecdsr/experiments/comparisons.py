"""Comparisons that the results page shows: stored in Git, and recomputed where runs or their ranks have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lecdsr.core.console import warn
from lecdsr.core.files import read_table, write_json
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS, TEST
from lecdsr.evaluate.agreement import agreement
from lecdsr.evaluate.compare import Comparison, Options, Side, compare, estimate
from lecdsr.evaluate.compare_tables import to_json
from lecdsr.experiments.records import Row, controls_file, rank_file
from lecdsr.report.recorded import (
    Recorded,
    best_method,
    compared_controls,
    compared_runs,
    matches_runs,
    other_methods,
    paired_runs,
)

OPTIONS = Options(TEST)


def with_comparisons(one: Recorded) -> Recorded:
    """Add the comparisons of the best method and of the controls.

    Stored comparisons stay if they are of the recorded runs; they are made again if the ranks of more runs are here.
    """
    return _with_controls(_with_tests(one))


def _with_tests(one: Recorded) -> Recorded:
    best = best_method(one)
    if best is None or not other_methods(one, best):
        return one
    artefacts, names = Artefacts(one.facts.pair), compared_runs(one, best)
    stored = one.tests["experiments"] if one.tests is not None and matches_runs(one.tests, best, names) else {}
    if one.tests is not None and stored == names and "estimates" in one.tests:
        return one
    here = {method: some for method, some in names.items() if _have_ranks(some, artefacts)}
    lost = [method for method in names if method not in here]
    if lost:
        warn(
            f"{one.facts.pair}: comparisons are not updated, because {artefacts.experiment_ranks} lacks ranks of "
            f"{', '.join(lost)}; remove their rows from the table and run `lecdsr tune` to make them again"
        )
    if best in lost or len(here) < 2 or not stored.keys() <= here.keys():
        return one
    if one.tests is not None and stored == here and "estimates" in one.tests:
        return one
    tests = {"best": best, "experiments": here, **_compared(one, here, best, artefacts)}
    write_json(artefacts.experiment_tests, tests)
    return one._replace(tests=tests)


def _compared(one: Recorded, names: Mapping[str, list[str]], best: str, artefacts: Artefacts) -> dict[str, Any]:
    sides = {method: _side(method, some, artefacts) for method, some in names.items()}
    comparisons = [
        Comparison(_part(sides[best], paired_runs(one, best, method)[0]), side)
        for method, side in sides.items()
        if method != best
    ]
    return {
        **to_json(comparisons, compare(comparisons, OPTIONS), OPTIONS),
        "estimates": {method: [found._asdict() for found in estimate(side, OPTIONS)] for method, side in sides.items()},
        "agreement": [found._asdict() for found in agreement(list(sides.values()), OPTIONS)],
    }


def _with_controls(one: Recorded) -> Recorded:
    names = compared_controls(one)
    places = [Artefacts(each.facts.pair) for each in (one, one.twin) if each is not None]
    stored = one.controls["experiments"] if one.controls is not None else {}
    valid = {name: runs for name, runs in stored.items() if names.get(name) == runs}
    here = {name: runs for name, runs in names.items() if _have_ranks([*runs["a"], *runs["b"]], *places)}
    if not here or here == stored or not valid.keys() <= here.keys():
        return one
    comparisons = [
        Comparison(_side(name, runs["a"], *places), _side(runs["method"], runs["b"], *places))
        for name, runs in here.items()
    ]
    controls = {"experiments": here, **to_json(comparisons, compare(comparisons, OPTIONS), OPTIONS)}
    write_json(controls_file(places[0]), controls)
    return one._replace(controls=controls)


def _side(name: str, runs: Sequence[str], *places: Artefacts) -> Side:
    return Side(name, list(runs), [read_table(_ranks(run, places), RANKS) for run in runs])


def _part(side: Side, runs: Iterable[Row]) -> Side:
    """Return a side with some of its runs."""
    kept = {row["experiment"] for row in runs}
    places = [place for place, run in enumerate(side.sources) if run in kept]
    return Side(side.name, [side.sources[place] for place in places], [side.ranks[place] for place in places])


def _have_ranks(runs: Iterable[str], *places: Artefacts) -> bool:
    return all(_ranks(run, places).exists() for run in runs)


def _ranks(run: str, places: Sequence[Artefacts]) -> Path:
    """Return the file of a run's ranks, from the first pair that has it."""
    files = [rank_file(artefacts, run) for artefacts in places]
    return next((file for file in files if file.exists()), files[0])
