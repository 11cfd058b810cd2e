"""Tables of models that others wrote beside ours, from the records of ``benchmarks/peers/compare.py``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lecdsr.core.files import read_json
from lecdsr.core.markdown import Markdown, escape, table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.models.registry import model_names

Record = dict[str, Any]
#: Metrics of the table of quality, by protocol.
METRICS = {
    "full": (("hr@10", "HR@10"), ("ndcg@10", "NDCG@10")),
    "sampled": (("hr@10", "HR@10"), ("ndcg@10", "NDCG@10")),
}
GRID, TIME = "grid", "time"


def peers_file(artefacts: Artefacts) -> Path:
    """Return the file, in Git, of the recorded runs of a pair."""
    return artefacts.metrics / "peers.json"


def read_peers(artefacts: Artefacts) -> list[Record] | None:
    """Read the recorded runs of a pair; ``None`` if there is no file.

    Raises:
        UserError: the file cannot be read.
    """
    path = peers_file(artefacts)
    return list(read_json(path)["runs"]) if path.exists() else None


def peers_section(artefacts: Artefacts, domains: Sequence[str], heading: str = "### Peers") -> str | None:
    """Write the section on peers of the results page, from its heading on; ``None`` without records.

    Args:
        artefacts: paths of the pair.
        domains: names of the pair's domains.
        heading: heading as Markdown.

    Raises:
        UserError: the file of the records cannot be read.
    """
    records = read_peers(artefacts)
    return None if records is None else f"{heading}\n\n{tables(records, domains)}"


def tables(records: Sequence[Record], domains: Sequence[str]) -> str:
    """Write the tables of quality, cost and settings, with what they were measured on.

    Args:
        records: of all runs.
        domains: names of the pair's domains.
    """
    timed, sides = cost_runs(records), tested_runs(records)
    chosen = {side: record["setting"] for side, record in timed.items()}
    if not sides:
        return "No run is recorded."
    parts = [_conditions(records)]
    for code, name in zip(DOMAINS, domains, strict=True):
        parts += [f"{escape(name)}, test targets:", _quality(sides, code)]
    parts += ["Cost:", _cost(timed, sides), "Settings tried, NDCG@10 on validation with the first seed:"]
    return "\n\n".join([*parts, _tried(records, chosen)])


def cost_runs(records: Sequence[Record]) -> dict[str, Record]:
    """Return the run that stands for the cost of each side: the one alone, or else the best of those tried."""
    tried = sorted((one for one in records if one["role"] == GRID), key=lambda one: float(one["valid_ndcg@10"]))
    return {one["side"]: one for one in [*tried, *(one for one in records if one["role"] == TIME)]}


def own_sides(records: Sequence[Record]) -> set[str]:
    """Return the sides that are models of this project."""
    return {record["side"] for record in records} & set(model_names())


def tested_runs(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the runs of each side's chosen setting that were evaluated, one for each seed; no side without any."""
    found = {}
    for side, chosen in cost_runs(records).items():
        own = [one for one in records if one["side"] == side and one["setting"] == chosen["setting"]]
        found[side] = [one for one in own if one["metrics"] is not None]
    return {side: rows for side, rows in found.items() if rows}


def _conditions(records: Sequence[Record]) -> str:
    one = next((record for record in records if record["role"] == TIME), records[-1])
    libraries = sorted({record["library"] for record in records})
    beside = ", beside some of ours" if own_sides(records) else ""
    threads = f"{one['threads']} thread{'s' if one['threads'] > 1 else ''} of {one['cores']} cores"
    return (
        f"Models that others wrote{beside}, trained on the same training part, validated and ranked by the same code: "
        f"{escape(', '.join(libraries))}. Seconds are of the training without validations, on {escape(one['device'])} "
        f"({threads}, {escape(one['precision'])}, PyTorch {escape(one['torch'])}), measured while no other run of the "
        "comparison was active, unless a run is marked; seconds to best are the best epoch times the seconds of an "
        "epoch. The last table names the machine that trained for the metrics."
    )


def _quality(sides: dict[str, list[Record]], domain: str) -> str:
    columns = [(way, metric, label) for way in PROTOCOLS for metric, label in METRICS[way]]
    head = ["method", "seeds", *(Markdown(f"{way} {label}") for way, _, label in columns)]
    body: list[list[object]] = []
    for side, rows in sides.items():
        tested = [row["metrics"]["test"].get(domain) for row in rows]
        found = [block for block in tested if block is not None]
        cells = [_mean([block[way][metric] for block in found], "{:.4f}") for way, metric, _ in columns]
        body.append([side, len(rows), *cells])
    return table(head, body)


def _cost(timed: dict[str, Record], sides: dict[str, list[Record]]) -> str:
    head = ["method", "parameters", "seconds per epoch", "best epoch", "seconds to best", "RAM, GB", "GPU memory, GB"]
    body: list[list[object]] = []
    for side, rows in sides.items():
        each, late = epoch_seconds(timed[side]), any(row["ended"] == "time" for row in rows)
        epochs = [row["best_epoch"] for row in rows]
        shown: Callable[[Sequence[float], str], Markdown] = _mean
        best = Markdown(f"{shown(epochs, '{:.0f}')}{', stopped by the time limit' if late else ''}")
        memory = [_mean([timed[side][name]], "{:.2f}") if timed[side][name] else None for name in ("ram_gb", "gpu_gb")]
        seconds = _mean([each * epoch for epoch in epochs], "{:,.0f}" if each > 1 else "{:,.1f}")
        beside = "" if timed[side]["role"] == TIME else ", beside other runs"
        epoch = Markdown(f"{_mean([each], '{:,.2f}')}{beside}")
        body.append([side, rows[0]["parameters"], epoch, best, seconds, *memory])
    return table([Markdown(name) for name in head], body)


def _tried(records: Sequence[Record], chosen: dict[str, Any]) -> str:
    body: list[list[object]] = []
    for record in records:
        if record["role"] == GRID:
            side, setting = record["side"], record["setting"]
            text = Markdown(f"`{json.dumps(setting)}`" if setting else "defaults")
            mark = "chosen" if chosen.get(side) == setting else ""
            score = Markdown(f"{record['valid_ndcg@10']:.4f}")
            body.append([side, text, mark, score, record["best_epoch"], record["epochs"], record["device"]])
    return table(["method", "setting", "", Markdown("NDCG@10"), "best epoch", "epochs", "machine"], body)


def epoch_seconds(record: Record) -> float:
    """Return the mean seconds of an epoch, without the first, which loads libraries and compiles."""
    seconds = [row["seconds"] for row in record["log"]]
    return float(np.mean(seconds[1:] or seconds))


def _mean(values: Sequence[float], form: str) -> Markdown:
    """Format the mean ± standard deviation (n - 1); only the value for one."""
    if not values:
        return Markdown("–")
    text = form.format(np.mean(values))
    return Markdown(text if len(values) == 1 else f"{text} ± {form.format(np.std(values, ddof=1))}")
