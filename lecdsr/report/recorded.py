"""Select the recorded runs of a pair that a page shows or compares: by method, role, seed and published baseline."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.experiments.config import Experiments
from lecdsr.experiments.plan import CONTROL, SEED
from lecdsr.experiments.records import Row, has_parameters

PUBLISHED_BASELINES = Path(__file__).with_name("published_baselines.csv")
#: Part of an item's text that is the description by a language model.
ANSWER = "answer"
#: Change of a method that removes the profiles of users.
NO_PROFILE = {"profile_text": "none"}
#: Ends of the names of controls whose runs are those of a pair without descriptions.
NO_DESCRIPTIONS, TITLES = ": no descriptions", ": titles only"


class PairFacts(NamedTuple):
    """Facts of a pair that the page states, from its settings.

    Args:
        pair: name of the pair.
        domains: names of the domains x and y.
        split: kind of split.
        negatives: number of negatives in the sampled ranking.
        item_text: parts of the text of an item that are encoded.
        encoders: names of the text encoders.
        writers: who wrote the descriptions and profiles, and when, as the pair declares it.
    """

    pair: str
    domains: tuple[str, str]
    split: str
    negatives: int
    item_text: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    writers: tuple[tuple[str, str], ...] = ()


class Recorded(NamedTuple):
    """Records of a pair: declared experiments, runs, slices, and comparisons.

    ``tests`` compares the best method with the others, ``controls`` every control with its method; None if they are
    not computed. ``code`` is the fingerprint of the present code of each model; without it no run is called older.
    ``twin`` is the same pair without descriptions by a language model: its runs are controls of this pair. ``peers``
    are runs of models that others wrote (``lecdsr.report.peers``).
    """

    facts: PairFacts
    declared: Experiments
    rows: list[Row]
    slices: list[Row]
    tests: dict[str, Any] | None
    controls: dict[str, Any] | None = None
    code: Mapping[str, str] | None = None
    twin: Recorded | None = None
    peers: Sequence[dict[str, Any]] = ()


def best_method(recorded: Recorded) -> str | None:
    """Return the method with the best mean validation score among those with complete runs; None without records."""
    scores = {
        method: validation_score(rows)
        for method in recorded.declared.methods
        if (rows := complete_runs(recorded, method))
    }
    return max(scores, key=lambda method: scores[method], default=None)


def validation_score(rows: Sequence[Row]) -> float:
    """Return the mean validation score of runs, by which methods are chosen."""
    return float(np.mean(values_of(rows, "valid_ndcg@10")))


def other_methods(recorded: Recorded, best: str) -> list[str]:
    """List the methods of another model than the best method that have runs to compare with it."""
    methods = recorded.declared.methods
    others = [method for method in methods if methods[method].model != methods[best].model]
    return [method for method in others if paired_runs(recorded, best, method)[1]]


def paired_runs(recorded: Recorded, best: str, method: str) -> tuple[list[Row], list[Row]]:
    """Return the runs of the best method and of another one under the seeds that both have.

    All runs count if one of the two has no trainable parameters, since it then gives the same result under every seed.
    """
    first, second = (runs_of(recorded.rows, name, SEED) for name in (best, method))
    if not (any_parameters(first) and any_parameters(second)):
        return first, second
    both = {row["seed"] for row in first} & {row["seed"] for row in second}
    return [row for row in first if row["seed"] in both], [row for row in second if row["seed"] in both]


def complete_runs(recorded: Recorded, method: str) -> list[Row]:
    """Return the runs of a method's chosen setting; none if it is trainable and another method has more seeds."""
    rows = runs_of(recorded.rows, method, SEED)
    return rows if not any_parameters(rows) or len(rows) == _most_seeds(recorded) else []


def _most_seeds(recorded: Recorded) -> int:
    """Return the largest number of seeds of a trainable method."""
    runs = [runs_of(recorded.rows, method, SEED) for method in recorded.declared.methods]
    return max((len(rows) for rows in runs if any_parameters(rows)), default=1)


def timed_runs(recorded: Recorded, methods: Iterable[str]) -> dict[str, list[Row]]:
    """Return the runs of trainable methods on one machine, by method, since times of different ones do not compare.

    It is the machine with runs of most of the methods; of several, the one with most runs.
    """
    found = {method: runs_of(recorded.rows, method, SEED) for method in methods}
    found = {method: rows for method, rows in found.items() if any_parameters(rows)}
    runs = Counter(machine_of(row) for rows in found.values() for row in rows)
    methods_of = Counter(machine for rows in found.values() for machine in {machine_of(row) for row in rows})
    chosen = max(runs, key=lambda machine: (methods_of[machine], runs[machine]), default=None)
    same = {method: [row for row in rows if machine_of(row) == chosen] for method, rows in found.items()}
    return {method: rows for method, rows in same.items() if rows}


def machine_of(row: Row) -> str:
    """Name of the processor or GPU that made a run."""
    return row["processor"] or row["device"]


def any_parameters(rows: Sequence[Row]) -> bool:
    """Return whether a run of the rows has trainable parameters."""
    return any(map(has_parameters, rows))


def compared_runs(recorded: Recorded, best: str) -> dict[str, list[str]]:
    """Return the experiments to compare by method: all of the best method, and those of other models paired with it."""
    runs = {best: complete_runs(recorded, best)}
    runs |= {method: paired_runs(recorded, best, method)[1] for method in other_methods(recorded, best)}
    return {method: [row["experiment"] for row in rows] for method, rows in runs.items()}


def matches_runs(tests: dict[str, Any], best: str, names: dict[str, list[str]]) -> bool:
    """Return whether stored comparisons are of ``best`` and only of runs in ``names`` (see :func:`compared_runs`)."""
    return bool(tests["best"] == best) and all(
        names.get(method) == some for method, some in tests["experiments"].items()
    )


def rankings(one: Recorded) -> list[tuple[str, str, str]]:
    """List code and name of each domain together with each protocol."""
    return [(code, name, way) for code, name in zip(DOMAINS, one.facts.domains, strict=True) for way in PROTOCOLS]


def compared_controls(recorded: Recorded) -> dict[str, dict[str, Any]]:
    """Return what to compare for each control: its method, its runs ``a``, and the method's runs ``b``, seed by seed.

    Runs of the same methods in the twin are controls too.
    """
    found = {}
    for name, control in recorded.declared.controls.items():
        found[name] = _pairing(recorded, control.method, runs_of(recorded.rows, control.method, CONTROL, name))
    best, twin = best_method(recorded), recorded.twin
    if twin is not None:
        for method in recorded.declared.methods:
            found[f"{method}{NO_DESCRIPTIONS}"] = _pairing(recorded, method, runs_of(twin.rows, method, SEED))
        for name, control in twin.declared.controls.items():
            if control.method == best and control.set == NO_PROFILE:
                found[f"{best}{TITLES}"] = _pairing(recorded, best, runs_of(twin.rows, best, CONTROL, name))
    return {name: one for name, one in found.items() if one["a"]}


def _pairing(recorded: Recorded, method: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Pair the runs of a control with those of its method under the same seeds."""
    chosen = {row["seed"]: row["experiment"] for row in runs_of(recorded.rows, method, SEED)}
    own = {row["seed"]: row["experiment"] for row in rows if row["seed"] in chosen}
    return {"method": method, "a": list(own.values()), "b": [chosen[seed] for seed in own]}


def pair_twins(pairs: Sequence[Recorded]) -> list[Recorded]:
    """Attach to every pair its twin, and drop the twins themselves from the list.

    A twin has the same domains, split and number of negatives, and its item texts lack the answers of a language model.
    """
    found = [one._replace(twin=_twin_of(one, pairs)) for one in pairs]
    twins = {one.twin.facts.pair for one in found if one.twin is not None}
    return [one for one in found if one.facts.pair not in twins]


def _twin_of(one: Recorded, pairs: Iterable[Recorded]) -> Recorded | None:
    if ANSWER not in one.facts.item_text:
        return None
    same = (other for other in pairs if other.facts[1:4] == one.facts[1:4])
    return next((other for other in same if other.facts.item_text and ANSWER not in other.facts.item_text), None)


def is_older(row: Row, recorded: Recorded) -> bool:
    """Return whether a run was made by code that trains or ranks differently from the present code."""
    return recorded.code is not None and row["code"] != recorded.code.get(row["model"])


def runs_of(rows: Iterable[Row], method: str, role: str, control: str = "") -> list[Row]:
    """Select the runs of a method in one role."""
    return [row for row in rows if (row["method"], row["role"], row["control"]) == (method, role, control)]


def values_of(rows: Sequence[Row], column: str) -> list[float]:
    """List the values of a column, without the runs that have none."""
    return [float(row[column]) for row in rows if row[column]]


def published_baselines(facts: PairFacts) -> list[Row]:
    """Read the published baselines of the same pair, split and number of negatives."""
    with open(PUBLISHED_BASELINES, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = (facts.pair, facts.split, str(facts.negatives))
    return [row for row in rows if (row["pair"], row["split"], row["negatives"]) == wanted]


def current_controls(recorded: Recorded) -> dict[str, dict[str, Any]]:
    """Return the stored comparisons of controls, by name, whose runs are those that are recorded now."""
    if recorded.controls is None:
        return {}
    names, stored = compared_controls(recorded), recorded.controls["experiments"]
    found = zip(stored, recorded.controls["comparisons"], strict=True)
    return {name: comparison for name, comparison in found if names.get(name) == stored[name]}


def current_tests(recorded: Recorded) -> dict[str, Any] | None:
    """Return the stored comparisons of the best method; None if they are of other runs."""
    best = best_method(recorded)
    if best is None or recorded.tests is None:
        return None
    return recorded.tests if matches_runs(recorded.tests, best, compared_runs(recorded, best)) else None
