"""`lecdsr metrics`: show the metrics of all evaluated models."""

from __future__ import annotations

from lecdsr.config.load import load_pair
from lecdsr.core.console import console, say
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import SPLITS, TEST
from lecdsr.evaluate.metrics_table import beyond_table, metrics_table
from lecdsr.models.registry import model_names


def show_metrics(artefacts: Artefacts, split: str) -> None:
    """Print a table of all evaluated models, and the path of the report.

    Raises:
        UserError: the pair does not exist or has no evaluated model.
    """
    load_pair(artefacts.pair)
    found = {name: read_json(path) for name in model_names() if (path := artefacts.model_metrics(name)).exists()}
    if not found:
        raise UserError(
            f"the pair {artefacts.pair!r} has no evaluated model",
            where=str(artefacts.metrics),
            do=f"run `dvc repro` with {artefacts.pair!r} among the `active` pairs of params.yaml",
            code="not-built",
        )
    console.print(metrics_table(f"{split.capitalize()} metrics on {artefacts.pair}", found, split))
    if split == SPLITS[TEST]:
        beyond = beyond_table(f"Beyond accuracy on {artefacts.pair}: ten best items of every test target", found)
        if beyond.row_count:
            console.print(beyond)
    if artefacts.report.exists():
        say(f"report: {artefacts.report}")
