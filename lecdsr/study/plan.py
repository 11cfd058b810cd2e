"""Which runs an arm needs: first its grid, then its chosen setting under every seed, then its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lecdsr.study.declared import Arm, Experiments, Setting

GRID, SEED, CONTROL = "grid", "seed", "control"
ROLES = (GRID, SEED, CONTROL)

#: Name of the run of an arm under a setting and a seed: the same name, the same numbers.
Naming = Callable[[str, Setting, int], str]


class Run(NamedTuple):
    """One training: ``setting`` is what is laid over the model's block, ``name`` that of its experiment."""

    arm: str
    model: str
    role: str
    control: str
    setting: Setting
    seed: int
    name: str


def grid_runs(declared: Experiments, arm: str, naming: Naming) -> list[Run]:
    """Every setting of the grid under the first seed."""
    seed = declared.seeds[0]
    return [_run(declared.arms[arm], arm, GRID, "", point, seed, naming) for point in declared.arms[arm].grid]


def later_runs(declared: Experiments, arm: str, setting: Setting, naming: Naming, learns: bool = True) -> list[Run]:
    """The chosen setting under every seed, then every control of the arm: all under one seed before the next seed.

    Args:
        declared: the experiments.
        arm: whose runs.
        setting: what was chosen, as :class:`Run` holds it.
        naming: names of runs.
        learns: whether the arm has parameters to learn; one without is the same under every seed.
    """
    given = declared.arms[arm]
    seeds = declared.seeds if learns else declared.seeds[:1]
    runs = [_run(given, arm, SEED, "", setting, seed, naming) for seed in seeds]
    changed = {name: {**setting, **one.set} for name, one in declared.controls.items() if one.arm == arm}
    for seed in seeds:
        runs += [_run(given, arm, CONTROL, name, changed[name], seed, naming) for name in changed]
    return runs


def choose(runs: Sequence[Run], scores: Mapping[str, float]) -> Run | None:
    """The run of the best validation score, the first of equals; None if none has finished.

    Args:
        runs: those of a grid.
        scores: by name of the run; runs that failed are not in it. No test figure comes near here.
    """
    finished = [run for run in runs if run.name in scores]
    return max(finished, key=lambda run: scores[run.name], default=None)


def _run(arm: Arm, name: str, role: str, control: str, setting: Setting, seed: int, naming: Naming) -> Run:
    whole = {**arm.set, **setting}
    return Run(name, arm.model, role, control, whole, seed, naming(name, whole, seed))
