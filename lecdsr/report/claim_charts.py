"""Charts of the results page: one for each group of claims, drawn from the records that the sentences are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.significance import LEVEL
from lecdsr.experiments.plan import SEED
from lecdsr.report.claims import comparison_of, estimates_of
from lecdsr.report.draw import Plot, Value, level_points, rank_lines, single_points
from lecdsr.report.recorded import (
    Recorded,
    current_controls,
    machine_of,
    published_baselines,
    runs_of,
    timed_runs,
    values_of,
)

#: Values by name of the series (a pair and domain), then by name of the line (a method or control).
Series = dict[str, dict[str, Value]]
#: Settings that change what a model reads, in contrast to how it computes.
READ = {"item_text", "user_text", "profile_text", "profile_time", "profile_form", "domains"}
#: Maximum number of methods in a chart of lines; more could not be distinguished.
DRAWN = 7


def charts(pairs: Sequence[Recorded]) -> list[Plot]:
    """Prepare the charts that the records support."""
    found = (_published(pairs), _methods(pairs), *_controls(pairs), _cost(pairs), _orders(pairs))
    return [plot for plot in found if plot is not None]


def _published(pairs: Sequence[Recorded]) -> Plot | None:
    """Draw HR@10 in sampled ranking of all methods beside the published baselines."""
    series: Series = {}
    for one in pairs:
        rows = [row for row in published_baselines(one.facts) if row["metric"] == "hr@10"]
        if not rows or not one.rows:
            continue
        for key in DOMAINS:
            given = {f"{row['method']} (published)": Value(float(row["mean"])) for row in rows if row["domain"] == key}
            series[_series(one, key)] = given | _values(one, key, "sampled", "hr@10")
    words = "HR@10 in sampled ranking of the methods and of published baselines"
    return _points("published", words, series, "test HR@10, sampled ranking")


def _methods(pairs: Sequence[Recorded]) -> Plot | None:
    """Draw NDCG@10 in full ranking of all methods."""
    series: Series = {}
    for one in pairs:
        for key in DOMAINS:
            series[_series(one, key)] = _values(one, key, "full", "ndcg@10")
    return _points("methods", "NDCG@10 in full ranking of the methods", series, "test NDCG@10, full ranking")


def _controls(pairs: Sequence[Recorded]) -> list[Plot | None]:
    """Draw the differences of the controls to their methods: of what is read, and of the parts of a model."""
    inputs: Series = {}
    parts: Series = {}
    for one in pairs:
        for name, comparison in current_controls(one).items():
            declared = one.declared.controls.get(name)
            group = inputs if declared is None or set(declared.set) <= READ else parts
            for key, row in comparison_of(comparison).items():
                low, high = row["interval"] or (None, None)
                group.setdefault(_series(one, key), {})[name] = Value(row["difference"], low, high)
    label = "difference in test NDCG@10"
    return [
        _points("inputs", "NDCG@10 lost or won when a method reads less or other data", inputs, label, zero=True),
        _points("parts", "NDCG@10 lost or won when a part of a model is changed", parts, label, zero=True),
    ]


def _cost(pairs: Sequence[Recorded]) -> Plot | None:
    """Draw seconds of training against NDCG@10, of the first pair with several trained methods on one machine."""
    for one in pairs:
        found: dict[str, tuple[float, Value]] = {}
        timed = timed_runs(one, one.declared.methods)
        for method, rows in timed.items():
            means = [values_of(rows, f"test.{key}.full.ndcg@10") for key in DOMAINS]
            each = [float(np.mean(seed)) for seed in zip(*filter(None, means), strict=True)]
            if each:
                found[method] = (float(np.mean(values_of(rows, "seconds"))), _over_seeds(each))
        if len(found) > 1:
            machine = machine_of(next(iter(timed.values()))[0])
            caption = (
                "NDCG@10 in full ranking, mean of both domains, against seconds of training "
                f"({one.facts.pair}, {machine})"
            )
            told = "; ".join(f"{name} {place:.0f} s, {value.mean:.4f}" for name, (place, value) in found.items())
            alt = f"Points: {caption}, with 95 % intervals over seeds. {told}."
            draw = partial(
                single_points, points=found, label="test NDCG@10, mean of domains", what="seconds of training"
            )
            return Plot("cost", f"{caption}, with 95 % intervals over seeds.", alt, draw, 3.2)
    return None


def _orders(pairs: Sequence[Recorded]) -> Plot | None:
    """Draw the ranks of the methods by NDCG@10 under every protocol and pair, over both domains."""
    methods = [method for method in pairs[0].declared.methods if all(runs_of(one.rows, method, SEED) for one in pairs)]
    if not 2 <= len(methods) <= DRAWN:
        return None
    ranks: dict[str, list[int]] = {method: [] for method in methods}
    ticks = []
    for one in pairs:
        for way in PROTOCOLS:
            means = {method: _mean(one, method, way) for method in methods}
            for method in methods:
                ranks[method].append(1 + sum(other > means[method] for other in means.values()))
            ticks.append(f"{way}\n{one.facts.split}" if len(pairs) > 1 else way)
    caption = "Ranks of the methods by NDCG@10, mean of both domains, in full and sampled ranking"
    told = "; ".join(f"{method} {', '.join(map(str, places))}" for method, places in ranks.items())
    order = ", ".join(tick.replace("\n", " ") for tick in ticks)
    draw = partial(rank_lines, ranks=ranks, ticks=ticks, label="rank")
    return Plot("orders", f"{caption}.", f"Lines: {caption}. In the order {order}: {told}.", draw, 3.6)


def _points(name: str, words: str, series: Mapping[str, Any], label: str, zero: bool = False) -> Plot | None:
    """Prepare a chart of points with intervals; None if it would have no point."""
    series = {title: values for title, values in series.items() if values}
    lines = list(dict.fromkeys(line for values in series.values() for line in values))
    if not lines:
        return None
    told = "; ".join(
        f"{title}: " + ", ".join(f"{line} {value.mean:{'+' if zero else ''}.4f}" for line, value in values.items())
        for title, values in series.items()
    )
    ordered = {title: {line: values[line] for line in lines if line in values} for title, values in series.items()}
    draw = partial(level_points, series=ordered, label=label, zero=zero)
    height = 1.1 + 0.2 * len(series) + 0.1 * len(lines) * max(2, len(series))
    caption = f"{words}, in the domains x and y of a pair, with 95 % intervals over users where ranks are recorded."
    return Plot(name, caption, f"Points: {caption} {told}.", draw, height)


def _values(one: Recorded, domain: str, protocol: str, metric: str) -> dict[str, Value]:
    """Return a metric of every method with runs: with its interval over users if it is stored."""
    found = {}
    for method in one.declared.methods:
        values = values_of(runs_of(one.rows, method, SEED), f"test.{domain}.{protocol}.{metric}")
        stored = estimates_of(one, protocol, metric, method).get(domain)
        if stored is not None:
            found[method] = Value(stored["mean"], stored["low"], stored["high"])
        elif values:
            found[method] = Value(float(np.mean(values)))
    return found


def _mean(one: Recorded, method: str, protocol: str) -> float:
    rows = runs_of(one.rows, method, SEED)
    means = [values_of(rows, f"test.{key}.{protocol}.ndcg@10") for key in DOMAINS]
    return sum(float(np.mean(values)) for values in means if values)


def _over_seeds(values: Sequence[float]) -> Value:
    """Return the mean over seeds with its t interval; no interval for one seed."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return Value(mean)
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return Value(mean, mean - half, mean + half)


def _series(one: Recorded, domain: str) -> str:
    """Name a domain of a pair, short enough for a legend."""
    return f"{domain}, {one.facts.pair}"
