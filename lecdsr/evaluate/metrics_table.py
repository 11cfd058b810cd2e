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
