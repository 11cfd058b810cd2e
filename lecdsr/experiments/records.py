"""Records of finished runs in Git: a table of runs, a table of runs and slices, and their test ranks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.errors import UserError
from lecdsr.core.files import write_text
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS, TEST
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.metrics import mean_over_users
from lecdsr.evaluate.slices import parts
from lecdsr.experiments.plan import GRID, ROLES, Run

METRICS = ("hr@5", "hr@10", "ndcg@10", "mrr")
KEY = ("method", "model", "role", "control", "setting", "seed")
FACTS = ("valid_ndcg@10", "best_epoch", "epochs", "seconds", "device", "processor", "threads", "torch", "parameters")
TESTS = tuple(
    f"test.{domain}.{protocol}.{metric}" for domain in DOMAINS for protocol in PROTOCOLS for metric in METRICS
)
COLUMNS = (*KEY, *FACTS, *TESTS, "code", "experiment")
SLICE_COLUMNS = ("method", "control", "seed", "domain", "slice", "ranking", "users", "targets", *METRICS, "experiment")

#: A row of a table: text by column name.
Row = dict[str, str]


class FinishedRun(NamedTuple):
    """Outputs of a finished run: metrics, training log, config of the model, training time and machine, ranks."""

    metrics: dict[str, Any]
    log: str
    config: dict[str, Any]
    times: dict[str, Any]
    ranks: pa.Table


def compact(setting: dict[str, Any]) -> str:
    """Format a setting as one line of JSON with sorted keys."""
    return json.dumps(setting, sort_keys=True, separators=(",", ":"))


def row_of(run: Run, finished: FinishedRun, code: str) -> Row:
    """Convert a finished run to a row; a grid run gets no test metrics, because only the chosen setting is tested.

    Args:
        run: the planned run.
        finished: its outputs.
        code: fingerprint of the code that it ran (``fingerprint.hash_of_code``).
    """
    facts: dict[str, Any] = {
        "valid_ndcg@10": f"{finished.config['valid_ndcg@10']:.6f}",
        "best_epoch": finished.config["best_epoch"],
        "epochs": len(finished.log.splitlines()) - 2,  # less the header and the row of the model before training
        "parameters": finished.config["parameters"],
        **finished.times,
    }
    tests = {name: "" if run.role == GRID else _figure(finished.metrics, name) for name in TESTS}
    key = {name: getattr(run, name) for name in KEY} | {"setting": compact(run.setting)}
    values = {**key, **facts, **tests, "code": code, "experiment": run.name}
    return {name: str(values[name]) for name in COLUMNS}


def has_parameters(row: Mapping[str, Any]) -> bool:
    """Return whether the model has trainable parameters; without them every seed gives the same result."""
    return int(row["parameters"]) > 0


def _figure(metrics: dict[str, Any], name: str) -> str:
    """Format the metric at a dotted path; empty if the domain has no targets."""
    node: Any = metrics
    for part in name.split("."):
        node = node.get(part, {})
    return "" if node == {} else f"{node:.6f}"


def slice_rows(run: Run, ranks: pa.Table) -> list[Row]:
    """List the test metrics of a run by domain, slice and protocol; slices without targets are left out."""
    ranks = ranks_of_test(ranks)
    user, domain = (ranks[name].to_numpy().astype(np.int64) for name in ("user", "domain"))
    rows = []
    for code, name in enumerate(DOMAINS):
        for part, inside in parts(ranks).items():
            chosen = inside & (domain == code)
            if not chosen.any():
                continue
            for protocol in PROTOCOLS:
                means = mean_over_users(ranks[f"rank_{protocol}"].to_numpy()[chosen], user[chosen])
                place = (run.method, run.control, run.seed, name, part, protocol)
                size = (len(np.unique(user[chosen])), int(chosen.sum()))
                values = (*place, *size, *(f"{means[metric]:.6f}" for metric in METRICS), run.name)
                rows.append({column: str(value) for column, value in zip(SLICE_COLUMNS, values, strict=True)})
    return rows


def ranks_of_test(ranks: pa.Table) -> pa.Table:
    """Select the ranks of the test targets."""
    return ranks.filter(pc.equal(ranks["split"], TEST))


def rank_file(artefacts: Artefacts, experiment: str) -> Path:
    """Return the path, in Git, of the test ranks of a run."""
    return artefacts.experiment_ranks / f"{experiment}.parquet"


def controls_file(artefacts: Artefacts) -> Path:
    """Return the path, in Git, of the comparisons of the controls with their methods."""
    return artefacts.metrics / "experiments-controls.json"


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read the rows of a table; return none if the file does not exist.

    Raises:
        UserError: the table has other columns.
    """
    if not path.exists():
        return []
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    rows = list(reader)
    if list(reader.fieldnames or ()) != list(columns) or any(None in row.values() or None in row for row in rows):
        raise UserError(
            "the table does not have the columns that this version of lecdsr writes, or a row is incomplete",
            where=str(path),
            do="remove it, and run `lecdsr tune` to write it again",
            code="wrong-columns",
        )
    return rows


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write the rows in sorted order, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=_order))
    write_text(path, text.getvalue())


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    role = ROLES.index(row["role"]) if "role" in row else 0
    return (row["method"], role, row["control"], row.get("setting", ""), int(row["seed"]))
