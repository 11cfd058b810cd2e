"""Figures of the trained models: metrics, slices, training curves, and the plots of the data card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from lecdsr.card.plots import DRAWINGS
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.metrics import MONITOR
from lecdsr.evaluate.slices import ALL, HISTORY, SLICES
from lecdsr.report.draw import COLOURS, DASHES, Plot, Value, grouped_points, legend_above, level_bars
from lecdsr.report.estimates import MAIN, Estimate, pick

Domains = Mapping[str, str]

#: For each kind of slices: the axis label, and the slice of each tick.
SLICED: dict[str, tuple[str, dict[str, str]]] = {
    "training": ("training interactions of the target", {name: name for name in SLICES}),
    "history": ("earlier interactions of the user in the domain", {name: f"history {name}" for name in HISTORY}),
    "ties": ("same day as the item before", {"no": "untied", "yes": "tied"}),
}
CARD = {
    "lengths": "Interactions per user, both domains",
    "popularity": "Interactions per item, by rank",
    "months": "Interactions by month",
    "gaps": "Days between a test target and the item before",
}


class Curve(NamedTuple):
    """Training curve of a model: validation score by epoch."""

    epochs: list[int]
    scores: list[float]


def metric_plots(found: Sequence[Estimate], domains: Domains) -> list[Plot]:
    """Plot NDCG@10 of every model, one figure per domain and protocol."""
    plots = []
    for protocol in PROTOCOLS:
        for key, name in domains.items():
            chosen = pick(found, domain=key, protocol=protocol, slice=ALL, metric=MAIN)
            if not chosen:
                continue
            values = {one.model: _value(one) for one in chosen}
            groups = {one.model: list(domains).index(key) for one in chosen}
            plots.append(
                Plot(
                    f"metrics-{key}-{protocol}",
                    f"{name}, {protocol} ranking",
                    f"Bars: test {MAIN.upper()} in {name}, {protocol} ranking, with 95 % intervals. {_told(values)}.",
                    partial(level_bars, values=values, label=f"test {MAIN.upper()}", groups=groups),
                    height=0.9 + 0.38 * len(values),
                )
            )
    return plots


def slice_plots(found: Sequence[Estimate], domains: Domains) -> list[Plot]:
    """Plot NDCG@10 in full ranking on slices of the test targets, one figure per domain and kind of slices."""
    plots = []
    for kind, (what, every) in SLICED.items():
        for key, name in domains.items():
            chosen = pick(found, domain=key, protocol="full", metric=MAIN)
            by_place = {(one.model, one.slice): one for one in chosen}
            models = list(dict.fromkeys(one.model for one in chosen))
            sizes = {tick: one.targets for one in chosen for tick, part in every.items() if part == one.slice}
            ticks = {tick: part for tick, part in every.items() if tick in sizes}
            if not ticks:
                continue
            series = {model: [_at(by_place, model, part) for part in ticks.values()] for model in models}
            labels = [f"{tick}\n({sizes[tick]:,})" for tick in ticks]
            told = "; ".join(
                f"{model}: "
                + ", ".join(f"{tick} {value.mean:.3f}" for tick, value in zip(ticks, row, strict=True) if value)
                for model, row in series.items()
            )
            alt = f"Points: test {MAIN.upper()} in {name}, full ranking, by {what}, with 95 % intervals. {told}."
            label = f"test {MAIN.upper()}"
            draw = partial(grouped_points, ticks=labels, series=series, label=label, what=f"{what} (targets)")
            plots.append(Plot(f"slices-{key}-{kind}", f"{name}, by {what}", alt, draw, height=3.2))
    return plots


def training_plot(curves: Mapping[str, Curve]) -> Plot | None:
    """Plot the validation score by epoch, one line per model; None if no model was trained for more than one epoch."""
    if not any(len(curve.epochs) > 1 for curve in curves.values()):
        return None
    told = "; ".join(f"{name} best {max(curve.scores):.4f}" for name, curve in curves.items())
    alt = f"Lines: validation {MONITOR.upper()} by epoch, full ranking, mean of both domains. {told}."
    return Plot("training", "Validation score during training", alt, partial(_training, curves=curves), height=3.4)


def card_plots(facts: Mapping[str, Any] | None) -> list[Plot]:
    """Prepare the plots of the data card for the page."""
    if facts is None:
        return []
    names = " and ".join(facts["pair"]["domains"][key] for key in DOMAINS)
    return [
        Plot(f"data-{name}", caption, f"{caption}, {names}.", partial(DRAWINGS[name], facts=facts))
        for name, caption in CARD.items()
    ]


def _training(axes: Axes, curves: Mapping[str, Curve]) -> None:
    for order, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[order % len(COLOURS)]
        if len(curve.epochs) > 1:
            dashes = DASHES[order % len(DASHES)]
            axes.plot(curve.epochs, curve.scores, linestyle=dashes, color=colour, label=name)
            best = max(range(len(curve.scores)), key=curve.scores.__getitem__)
            axes.plot(curve.epochs[best], curve.scores[best], "o", color=colour)
        else:
            axes.axhline(curve.scores[0], linestyle=":", color=colour, label=name)
    axes.set_xlabel("epoch (a point marks the best)")
    axes.set_ylabel(f"validation {MONITOR.upper()}")
    axes.set_ylim(bottom=0)
    legend_above(axes)


def _at(found: Mapping[tuple[str, str], Estimate], model: str, part: str) -> Value | None:
    one = found.get((model, part))
    return None if one is None else _value(one)


def _value(one: Estimate) -> Value:
    return Value(one.mean, one.low, one.high)


def _told(values: Mapping[str, Value]) -> str:
    return "; ".join(
        f"{name} {value.mean:.4f}" + ("" if value.low is None else f" ({value.low:.4f} to {value.high:.4f})")
        for name, value in values.items()
    )
