"""What each part of a model brings: switches and controls over several seeds, as one table.

Trains in memory with the pipeline's own functions. Every finished run is written at once, so that
an interrupted study goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.base.console import say
from lecdsr.base.errors import UserError
from lecdsr.base.files import read_json, read_table, sha256_file, write_json
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import CANDIDATES, DOMAINS, TEST
from lecdsr.base.settings import load_block
from lecdsr.compare import slices
from lecdsr.compare.comparison import PROTOCOLS
from lecdsr.evaluate.evaluate import Settings as Evaluate
from lecdsr.evaluate.evaluate import rank_held_out
from lecdsr.models.registry import entry
from lecdsr.ranking.metrics import mean_over_users
from lecdsr.train.fit import fit
from lecdsr.train.settings import Shared

#: Switches of each model: name of the variant -> settings changed; the first is what the others are read against.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "sasrec": {
        "ids": {"item_text": "none"},
        "ids, one domain": {"item_text": "none", "domains": "own"},
        "text": {"item_text": "vectors"},
        "text, one domain": {"item_text": "vectors", "domains": "own"},
        "random vectors": {"item_text": "random"},
        "shuffled text": {"item_text": "shuffled"},
    },
    "published": {
        "full": {},
        "one domain": {"domains": "own"},
        "no item text": {"item_text": "none"},
        "no user text": {"user_text": "none"},
        "no text": {"item_text": "none", "user_text": "none"},
        "no convolution": {"convolution": False},
        "no alignment": {"alignment": 0.0},
        "random vectors": {"item_text": "random", "user_text": "random"},
        "shuffled text": {"item_text": "shuffled", "user_text": "shuffled"},
    },
}

#: Slices of test targets by the training interactions of the target. Unseen and rare items are one slice here, as in
#: the runs and tables that are finished.
SLICES: dict[str, slices.Bounds] = {
    slices.ALL: slices.EVERY,
    "0–4": (slices.SLICES["0"][0], slices.SLICES["1–4"][1]),
    "5–19": slices.SLICES["5–19"],
    "20+": slices.SLICES["20+"],
}


class Study(NamedTuple):
    """Results of a study: ``runs[variant][seed]`` holds NDCG@10 by ``domain protocol slice``."""

    pair: str
    model: str
    runs: dict[str, dict[str, dict[str, float]]]
    targets: dict[str, int]


class Given(NamedTuple):
    """What all runs of a study share: the pair, its candidates, the rules of evaluation, hashes of the tables read."""

    artefacts: Artefacts
    candidates: pa.Table
    rules: Evaluate
    hashes: list[str]


def run_study(artefacts: Artefacts, model: str, seeds: int, folder: Path) -> Study:
    """Train and rank every variant under seeds 1 … ``seeds``; finished runs are taken from ``folder``.

    Raises:
        UserError: the model has no switches, or an artefact is missing.
    """
    if model not in VARIANTS:
        raise UserError(f"the model {model!r} has no switches to study", do=f"use one of {', '.join(VARIANTS)}")
    given = _given(artefacts)
    runs: dict[str, dict[str, dict[str, float]]] = {}
    targets: dict[str, int] = {}
    for variant, changed in VARIANTS[model].items():
        for seed in range(1, seeds + 1):
            values, counts = _one(given, model, changed, seed, folder)
            runs.setdefault(variant, {})[str(seed)] = values
            targets = counts
            say(f"{model}, {variant}, seed {seed}: NDCG@10 {values['x full all']:.4f} {values['y full all']:.4f}")
    return Study(artefacts.pair, model, runs, targets)


def _given(artefacts: Artefacts) -> Given:
    tables = (
        artefacts.interactions,
        artefacts.windows,
        artefacts.candidates,
        artefacts.item_vectors,
        artefacts.user_vectors,
    )
    return Given(
        artefacts,
        read_table(artefacts.candidates, CANDIDATES),
        load_block("evaluate", Evaluate, artefacts.pair),
        [sha256_file(path) for path in tables],
    )


def _one(
    given: Given, model: str, changed: dict[str, Any], seed: int, folder: Path
) -> tuple[dict[str, float], dict[str, int]]:
    """One run, from its file if it was finished before with the same settings, rules and tables."""
    schema, pair = entry(model).settings, given.artefacts.pair
    settings: Any = schema.model_validate({**load_block("train", schema, pair, model).model_dump(), **changed})
    shared = load_block("train", Shared, pair, "shared").model_copy(update={"seed": seed})
    what = [settings.model_dump(), shared.model_dump(), given.rules.model_dump(), given.hashes]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{pair}-{model}-{key}.json"
    if not path.exists():
        values, counts = sliced(_ranks(given, model, settings, shared))
        write_json(path, {"values": values, "targets": counts})
    done = read_json(path)
    return done["values"], done["targets"]


def _ranks(given: Given, model: str, settings: Any, shared: Shared) -> pa.Table:
    fitted = fit(given.artefacts, model, settings, shared)
    data, length = fitted.data, settings.history_length
    ranks = rank_held_out(
        fitted.network, data.sequences, data.catalogue, given.candidates, length, given.rules, fitted.device
    )
    fitted.checkpoints.remove()
    return ranks


def sliced(ranks: pa.Table) -> tuple[dict[str, float], dict[str, int]]:
    """NDCG@10 on test by ``domain protocol slice``, and targets by ``domain slice``; empty slices are left out."""
    column = {name: ranks[name].to_numpy() for name in ranks.column_names if name != "day_tied"}
    values: dict[str, float] = {}
    counts: dict[str, int] = {}
    for code, domain in enumerate(DOMAINS):
        for name, bounds in SLICES.items():
            chosen = (column["split"] == TEST) & (column["domain"] == code)
            chosen &= slices.inside(column["train_count"], bounds)
            if not chosen.any():
                continue
            counts[f"{domain} {name}"] = int(chosen.sum())
            for protocol in PROTOCOLS:
                means = mean_over_users(column[f"rank_{protocol}"][chosen], column["user"][chosen].astype(np.int64))
                values[f"{domain} {protocol} {name}"] = means["ndcg@10"]
    return values, counts


def to_markdown(study: Study) -> str:
    """Tables of mean ± standard deviation over seeds, one for each protocol."""
    seeds = len(next(iter(study.runs.values())))
    command = f"lecdsr ablate --pair {study.pair} --model {study.model} --seeds {seeds}"
    lines = [
        f"# Ablation of `{study.model}` on `{study.pair}`",
        "",
        f"Test NDCG@10, mean ± standard deviation over {seeds} seeds; the epoch is chosen on validation. Columns:",
        "domain, and slices of targets by their number of training interactions (targets in the second row).",
        f"Written by `{command}`.",
    ]
    for protocol in PROTOCOLS:
        columns = [f"{domain} {name}" for domain in DOMAINS for name in SLICES if f"{domain} {name}" in study.targets]
        lines += ["", f"## {protocol.capitalize()} ranking", "", "| variant | " + " | ".join(columns) + " |"]
        lines.append("| --- |" + " ---: |" * len(columns))
        lines.append("| targets | " + " | ".join(f"{study.targets[column]:,}" for column in columns) + " |")
        for variant, runs in study.runs.items():
            cells = [_cell(_over_seeds(runs, column, protocol)) for column in columns]
            lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _over_seeds(runs: dict[str, dict[str, float]], column: str, protocol: str) -> NDArray[np.float64]:
    domain, name = column.split(" ", 1)
    return np.array([values[f"{domain} {protocol} {name}"] for values in runs.values()])


def _cell(values: NDArray[np.float64]) -> str:
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():.4f} ± {deviation:.4f}"
