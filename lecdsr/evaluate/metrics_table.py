"""Format the metrics of several models as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from lecdsr.core.schemas import DOMAINS

COLUMNS = (
    ("sampled", "hr@5"), ("sampled", "hr@10"), ("sampled", "ndcg@10"), ("sampled", "mrr"),
    ("full", "hr@10"), ("full", "ndcg@10"), ("full", "mrr"),
)  # fmt: skip

#: Heading and format of each beyond-accuracy metric.
BEYOND = {
    "coverage@10": ("coverage", "{:.3f}"),
    "gini@10": ("Gini", "{:.3f}"),
    "popularity@10": ("popularity", "{:,.1f}"),
    "tail@10": ("tail", "{:.3f}"),
    "unseen@10": ("unseen", "{:.3f}"),
    "novelty@10": ("novelty", "{:.2f}"),
    "diversity@10": ("diversity", "{:.3f}"),
    "miscalibration@10": ("miscalibration", "{:.3f}"),
}

#: Headings on two lines, to keep the table within 100 columns.
NARROW = {"popularity": "popu-\nlarity", "diversity": "diver-\nsity", "miscalibration": "miscali-\nbration"}


def metrics_table(title: str, models: Mapping[str, Mapping[str, Any]], split: str = "test") -> Table:
    """Make a table with one row per domain and model; ``models`` maps a name to its metrics."""
    table = Table(title=title, title_justify="left")
    table.add_column("domain")
    table.add_column("model")
    table.add_column("users", justify="right")
    for protocol, metric in COLUMNS:
        table.add_column(f"{protocol}\n{metric}", justify="right")
    for domain in DOMAINS:
        for name, metrics in models.items():
            block = metrics.get(split, {}).get(domain)
            if block is not None:
                values = [f"{block[protocol][metric]:.4f}" for protocol, metric in COLUMNS]
                table.add_row(domain, name, f"{block['users']:,}", *values)
        table.add_section()
    return table


def beyond_table(title: str, models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make a table of the beyond-accuracy metrics of the test targets, one row per domain and model."""
    table = Table(title=title, title_justify="left")
    table.add_column("domain")
    table.add_column("model")
    for heading, _ in BEYOND.values():
        table.add_column(NARROW.get(heading, heading), justify="right")
    for domain in DOMAINS:
        for name, metrics in models.items():
            full = metrics.get("test", {}).get(domain, {}).get("full", {})
            if not BEYOND.keys().isdisjoint(full):
                table.add_row(domain, name, *(beyond_value(full, metric) for metric in BEYOND))
        table.add_section()
    return table


def beyond_value(full: Mapping[str, float], metric: str) -> str:
    """Format a beyond-accuracy metric; a dash where it is not defined."""
    return BEYOND[metric][1].format(full[metric]) if metric in full else "–"
