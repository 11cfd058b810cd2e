"""Which runs a method needs: first its grid, then its chosen setting under every seed, then its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lecdsr.experiments.config import Experiments, Method, Setting

GRID, SEED, CONTROL = "grid", "seed", "control"
ROLES = (GRID, SEED, CONTROL)

#: Name of the run of a method under a setting and a seed: the same name, the same numbers.
Naming = Callable[[str, Setting, int], str]


class Run(NamedTuple):
    """One training: ``setting`` is what is laid over the model's block, ``name`` that of its experiment."""

    method: str
    model: str
    role: str
    control: str
    setting: Setting
    seed: int
    name: str


def grid_runs(declared: Experiments, method: str, naming: Naming) -> list[Run]:
    """Every setting of the grid under the first seed."""
    seed = declared.seeds[0]
    return [
        _run(declared.methods[method], method, GRID, "", point, seed, naming) for point in declared.methods[method].grid
    ]


def later_runs(declared: Experiments, method: str, setting: Setting, naming: Naming, learns: bool = True) -> list[Run]:
    """The chosen setting under every seed, then every control of the method: all under one seed before the next seed.

    Args:
        declared: the experiments.
        method: whose runs.
        setting: what was chosen, as :class:`Run` holds it.
        naming: names of runs.
        learns: whether the method has parameters to learn; one without is the same under every seed.
    """
    given = declared.methods[method]
    seeds = declared.seeds if learns else declared.seeds[:1]
    runs = [_run(given, method, SEED, "", setting, seed, naming) for seed in seeds]
    changed = {name: {**setting, **one.set} for name, one in declared.controls.items() if one.method == method}
    for seed in seeds:
        runs += [_run(given, method, CONTROL, name, changed[name], seed, naming) for name in changed]
    return runs


def choose(runs: Sequence[Run], scores: Mapping[str, float]) -> Run | None:
    """The run of the best validation score, the first of equals; None if none has finished.

    Args:
        runs: those of a grid.
        scores: by name of the run; runs that failed are not in it. No test figure comes near here.
    """
    finished = [run for run in runs if run.name in scores]
    return max(finished, key=lambda run: scores[run.name], default=None)


def _run(method: Method, name: str, role: str, control: str, setting: Setting, seed: int, naming: Naming) -> Run:
    whole = {**method.set, **setting}
    return Run(name, method.model, role, control, whole, seed, naming(name, whole, seed))
