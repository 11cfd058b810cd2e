"""Beyond accuracy in the report: tables, and figures of accuracy against coverage and against novelty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lecdsr.evaluate.metrics_table import BEYOND, beyond_value
from lecdsr.report.draw import Plot, Value, single_points
from lecdsr.report.estimates import MAIN, Estimate, pick
from lecdsr.report.tables import Cell, Table

Domains = Mapping[str, str]
Metrics = Mapping[str, Mapping[str, Any]]

#: Metrics that accuracy is plotted against: name of the figure, and label of the axis.
AXES = {
    "coverage@10": ("coverage", "coverage: share of the items that are in a list"),
    "novelty@10": ("novelty", "novelty: mean self-information of the items, in bits"),
}
TEXT = (
    "What the models recommend, whether or not it is right: the ten best items of the domain for every test target, in "
    "full ranking. Read it together with accuracy, because a model that recommends at random covers everything. None "
    "of these metrics is best at its largest or smallest value, so nothing is marked as best."
)
#: Explains the columns in words.
MEANINGS = {
    "coverage": "share of the domain's items that are in at least one list",
    "Gini": "inequality of how often the items are shown: 0 if all equally often, near 1 if few take all places",
    "popularity": "training interactions of an item of a list, mean",
    "tail": "share of items of a list outside the 20 % of the items with the most training interactions",
    "unseen": "share of items of a list without a training interaction",
    "novelty": "self-information of an item of a list in bits, mean; 1 bit more means half as many interactions",
    "diversity": "1 − cosine of the texts of two items of a list, mean",
    "miscalibration": "divergence of the categories of a list from those of the history: 0 if equal, 4.6 at most",
}


def meanings() -> Table:
    """Tabulate what the columns mean."""
    return Table("formulas and sources: docs/evaluation.md", (), [[*map(Cell, one)] for one in MEANINGS.items()])


def beyond_tables(metrics: Metrics, domains: Domains) -> list[Table]:
    """Tabulate the beyond-accuracy metrics, one table per domain; a metric that no model has is left out."""
    tables = []
    for key, name in domains.items():
        found = full_metrics(metrics, key)
        columns = [metric for metric in BEYOND if any(metric in full for full in found.values())]
        if columns:
            rows = [
                [Cell(model), *(Cell(beyond_value(full, metric)) for metric in columns)]
                for model, full in found.items()
            ]
            head = ("model", *(BEYOND[metric][0] for metric in columns))
            tables.append(Table(f"test, {name}, ten best items of each list", head, rows))
    return tables


def trade_off_plots(found: Sequence[Estimate], metrics: Metrics, domains: Domains) -> list[Plot]:
    """Plot NDCG@10 in full ranking against coverage and against novelty, one point a model, one figure per domain."""
    plots = []
    for key, name in domains.items():
        accuracy = {one.model: one for one in pick(found, domain=key, protocol="full", slice="all", metric=MAIN)}
        full = full_metrics(metrics, key)
        for metric, (short, label) in AXES.items():
            points = {
                model: (full[model][metric], Value(one.mean, one.low, one.high))
                for model, one in accuracy.items()
                if metric in full.get(model, {})
            }
            if not points:
                continue
            told = "; ".join(f"{model} {short} {x:.3f}, {y.mean:.4f}" for model, (x, y) in points.items())
            plots.append(
                Plot(
                    f"tradeoff-{key}-{short}",
                    f"{name}, accuracy and {short}",
                    f"Points: test {MAIN.upper()} in {name}, full ranking, 95 % intervals, against {short}. {told}.",
                    partial(single_points, points=points, label=f"test {MAIN.upper()}", what=label),
                    height=3.2,
                )
            )
    return plots


def extremes(metrics: Metrics, domains: Domains) -> list[str]:
    """Say for each domain which model shows the largest and which the smallest share of the catalogue."""
    told = []
    for key, name in domains.items():
        shares = {m: full["coverage@10"] for m, full in full_metrics(metrics, key).items() if "coverage@10" in full}
        if len(shares) > 1:
            most, least = (choose(shares, key=shares.__getitem__) for choose in (max, min))
            shown = {model: f"{100 * shares[model]:.1f} %" for model in (most, least)}
            told.append(
                f"In {name}, `{most}` shows {shown[most]} of the items to anyone, and `{least}` {shown[least]}."
            )
    return told


def full_metrics(metrics: Metrics, domain: str) -> dict[str, Mapping[str, float]]:
    """Return the test metrics of the full ranking in a domain, by model; without models that have none."""
    blocks = {model: facts.get("test", {}).get(domain, {}) for model, facts in metrics.items()}
    return {model: block["full"] for model, block in blocks.items() if "full" in block}
