"""`lecdsr pairs` and `lecdsr check`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from lecdsr.ask.settings import Settings as Ask
from lecdsr.candidates.draw import Settings as Candidates
from lecdsr.card.settings import Settings as Card
from lecdsr.config.load import load_block, load_pair, load_selection, pair_names
from lecdsr.config.schema import Block
from lecdsr.core.console import say
from lecdsr.download.settings import Settings as Download
from lecdsr.embed.settings import Settings as Embed
from lecdsr.evaluate.evaluate import Settings as Evaluate
from lecdsr.models.registry import find_model, model_names
from lecdsr.prompts.settings import Settings as Prompts
from lecdsr.report.settings import Settings as Report
from lecdsr.sequences.settings import Settings as Sequences
from lecdsr.train.settings import SharedSettings

BLOCKS: dict[str, type[Block]] = {
    "download": Download,
    "sequences": Sequences,
    "card": Card,
    "candidates": Candidates,
    "prompts": Prompts,
    "ask": Ask,
    "embed": Embed,
    "evaluate": Evaluate,
    "report": Report,
}


def check_all() -> None:
    """Check the selection, every pair and every block.

    Raises:
        UserError: for the first key that is wrong.
    """
    active, models = load_selection()
    for name in models:
        find_model(name)
    for name in active:
        load_pair(name)
    for name in pair_names():
        load_pair(name)
        for block, schema in BLOCKS.items():
            load_block(block, schema, name)
        load_block("train", SharedSettings, name, "shared")
        for model in model_names():
            load_block("train", find_model(model).settings, name, model)
    say(f"all settings are right: {len(pair_names())} pairs, {len(model_names())} models")


def pairs_table() -> Table:
    """One row per pair."""
    active, _ = load_selection()
    table = Table(title="Domain pairs", title_justify="left")
    for column in ("pair", "active", "domain X", "domain Y", "release", "source"):
        table.add_column(column, overflow="fold")
    for name in pair_names():
        pair = load_pair(name)
        row = (name, "yes" if name in active else "", *pair.domains, str(pair.release), ", ".join(pair.source))
        table.add_row(*(escape(cell) for cell in row))
    return table
