"""Figures of recorded experiments, averaged over seeds: methods, controls, and their slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.experiments.plan import CONTROL, SEED
from lecdsr.experiments.records import COLUMNS, SLICE_COLUMNS, Row, read_rows
from lecdsr.report.draw import Plot, Value, grouped_points, level_bars
from lecdsr.report.figures import SLICED
from lecdsr.report.recorded import validation_score

MAIN = "ndcg@10"
#: Maximum number of methods in a slice figure; more could not be distinguished.
DRAWN = 5


class Recorded(NamedTuple):
    """Rows of the recorded tables of runs and slices; empty if nothing is recorded."""

    runs: list[Row]
    slices: list[Row]


class Method(NamedTuple):
    """A method under its chosen setting, or one of its controls."""

    method: str
    control: str

    @property
    def label(self) -> str:
        """Name shown on the page; the name of a control includes its method."""
        return self.control or self.method


def read(runs: Path, slices: Path) -> Recorded:
    """Read the recorded tables; a missing table is empty.

    Raises:
        UserError: a table has other columns.
    """
    return Recorded(read_rows(runs, COLUMNS), read_rows(slices, SLICE_COLUMNS))


def methods(recorded: Recorded) -> list[Method]:
    """List the methods by validation score, best first, each followed by its controls."""
    seeds = [row for row in recorded.runs if row["role"] == SEED]
    methods = list(dict.fromkeys(row["method"] for row in seeds))
    scores = {method: validation_score([row for row in seeds if row["method"] == method]) for method in methods}
    found = []
    for method in sorted(methods, key=lambda method: -scores[method]):
        controls = [row["control"] for row in recorded.runs if (row["role"], row["method"]) == (CONTROL, method)]
        found += [Method(method, ""), *(Method(method, control) for control in dict.fromkeys(controls))]
    return found


def value(recorded: Recorded, method: Method, column: str) -> Value | None:
    """Compute the mean over seeds ± one standard deviation (for two or more seeds); None if nothing is recorded."""
    rows = [
        row for row in recorded.runs if (row["method"], row["control"]) == method and row["role"] in (SEED, CONTROL)
    ]
    return _over_seeds([float(row[column]) for row in rows if row[column]])


def seeds(recorded: Recorded, method: Method) -> int:
    """Count the recorded seeds of a method."""
    rows = (row for row in recorded.runs if (row["method"], row["control"]) == method)
    return len({row["seed"] for row in rows if row["role"] in (SEED, CONTROL)})


def bar_plots(recorded: Recorded, domains: Mapping[str, str]) -> list[Plot]:
    """Plot NDCG@10 of methods and controls, one figure per domain and protocol; controls have their own colour."""
    plots = []
    for protocol in PROTOCOLS:
        for key, name in domains.items():
            column = f"test.{key}.{protocol}.{MAIN}"
            found = {one: value(recorded, one, column) for one in methods(recorded)}
            values = {one.label: each for one, each in found.items() if each is not None}
            if not values:
                continue
            groups = {one.label: int(bool(one.control)) for one in found}
            told = "; ".join(f"{label} {each.mean:.4f}" for label, each in values.items())
            alt = f"Bars: test {MAIN.upper()} in {name}, {protocol} ranking, mean over seeds ± deviation. {told}."
            draw = partial(level_bars, values=values, label=f"test {MAIN.upper()}, mean ± deviation", groups=groups)
            height = 0.9 + 0.3 * len(values)
            plots.append(Plot(f"experiments-{key}-{protocol}", f"{name}, {protocol} ranking", alt, draw, height))
    return plots


def slice_plots(recorded: Recorded, domains: Mapping[str, str]) -> list[Plot]:
    """Plot NDCG@10 of the best methods by training interactions of the target, full ranking, one figure per domain."""
    what, ticks = SLICED["training"]
    best = [one for one in methods(recorded) if not one.control][:DRAWN]
    plots = []
    for key, name in domains.items():
        rows = [row for row in recorded.slices if (row["domain"], row["ranking"], row["control"]) == (key, "full", "")]
        there = {row["slice"]: int(row["targets"]) for row in rows}
        own = {tick: part for tick, part in ticks.items() if part in there}
        series = {
            one.label: [
                _over_seeds([float(row[MAIN]) for row in rows if (row["method"], row["slice"]) == (one.method, part)])
                for part in own.values()
            ]
            for one in best
        }
        series = {label: points for label, points in series.items() if any(points)}
        if not series:
            continue
        labels = [f"{tick}\n({there[part]:,})" for tick, part in own.items()]
        alt = f"Points: test {MAIN.upper()} in {name}, full ranking, by {what}, mean over seeds ± deviation: "
        alt += "; ".join(
            f"{label}: " + ", ".join(f"{tick} {one.mean:.3f}" for tick, one in zip(own, points, strict=True) if one)
            for label, points in series.items()
        )
        label = f"test {MAIN.upper()}"
        draw = partial(grouped_points, ticks=labels, series=series, label=label, what=f"{what} (targets)")
        plots.append(Plot(f"experiments-slices-{key}", f"{name}, by {what}", f"{alt}.", draw, 3.2))
    return plots


def _over_seeds(values: Sequence[float]) -> Value | None:
    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) == 1:
        return Value(mean)
    deviation = float(np.std(values, ddof=1))
    return Value(mean, mean - deviation, mean + deviation)
