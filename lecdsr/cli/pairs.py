"""`lecdsr pairs` lists the domain pairs; `lecdsr check` checks all settings."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from lecdsr.config.load import load_pair, load_selection, pair_names
from lecdsr.config.names import model_names
from lecdsr.config.resolve import check_all
from lecdsr.core.console import say


def check() -> None:
    """Check `active`, `models`, every pair and every block of settings.

    Raises:
        UserError: a key is wrong; the first one found is reported.
    """
    pairs = check_all()
    say(f"all settings are valid: {len(pairs)} pairs, {len(model_names())} models")


def pairs_table() -> Table:
    """Make a table with one row per pair."""
    active, _ = load_selection()
    table = Table(title="Domain pairs", title_justify="left")
    for column in ("pair", "active", "domain X", "domain Y", "release", "source"):
        table.add_column(column, overflow="fold")
    for name in pair_names():
        pair = load_pair(name)
        row = (name, "yes" if name in active else "", *pair.domains, str(pair.release), ", ".join(pair.source))
        table.add_row(*(escape(cell) for cell in row))
    return table
