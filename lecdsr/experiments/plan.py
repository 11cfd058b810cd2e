"""Plan the runs of a method: its grid, then its chosen setting under every seed, then its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lecdsr.experiments.config import Experiments, Method, Setting

GRID, SEED, CONTROL = "grid", "seed", "control"
ROLES = (GRID, SEED, CONTROL)

#: Type of a function that names the run of a method, setting and seed; the same name means the same results.
RunNaming = Callable[[str, Setting, int], str]


class Run(NamedTuple):
    """A planned training: ``setting`` overrides the model's block, ``name`` names its results."""

    method: str
    model: str
    role: str
    control: str
    setting: Setting
    seed: int
    name: str


def grid_runs(declared: Experiments, method: str, naming: RunNaming) -> list[Run]:
    """Plan the runs of a method's grid: every setting under the first seed."""
    seed = declared.seeds[0]
    return [
        _run(declared.methods[method], method, GRID, "", point, seed, naming) for point in declared.methods[method].grid
    ]


def seed_and_control_runs(
    declared: Experiments, method: str, setting: Setting, naming: RunNaming, has_parameters: bool = True
) -> list[Run]:
    """Plan the chosen setting under every seed, then its controls under theirs, seed by seed.

    Args:
        declared: the experiments.
        method: name of the method.
        setting: the chosen setting, as in :class:`Run`.
        naming: function that names the runs.
        has_parameters: whether the method has trainable parameters; without them every seed gives the same result.
    """
    given = declared.methods[method]
    seeds = declared.seeds if has_parameters else declared.seeds[:1]
    runs = [_run(given, method, SEED, "", setting, seed, naming) for seed in seeds]
    changed = {name: {**setting, **one.set} for name, one in declared.controls.items() if one.method == method}
    for seed in seeds[: declared.control_seeds]:
        runs += [_run(given, method, CONTROL, name, changed[name], seed, naming) for name in changed]
    return runs


def best_run(runs: Sequence[Run], scores: Mapping[str, float]) -> Run | None:
    """Return the run with the best validation score, or the first of equals; None if no run has finished.

    Args:
        runs: the runs of a grid.
        scores: validation scores by name of the run, without failed runs; test metrics are never used here.
    """
    finished = [run for run in runs if run.name in scores]
    return max(finished, key=lambda run: scores[run.name], default=None)


def _run(method: Method, name: str, role: str, control: str, setting: Setting, seed: int, naming: RunNaming) -> Run:
    whole = {**method.set, **setting}
    return Run(name, method.model, role, control, whole, seed, naming(name, whole, seed))
