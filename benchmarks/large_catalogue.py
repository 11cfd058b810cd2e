"""The pipeline on a large catalogue: seconds, rate and peak memory of each stage, at two sizes of the catalogue.

Rates are per processor second, so that other work on the machine does not change them; with one thread and nothing else
running they are those of the clock.

Generates a pair with the generator of the demo and runs the stages from `settings` to `recommend`, each as its own
process, in a copy of the repository. Item texts are not encoded, which takes seconds per thousand items whatever else
is done (benchmarks/embed.py): vectors are drawn at random around a few thousand centres. `evaluate` ranks every target
and is left out; the rate of ranking is that of the validation targets.

    python benchmarks/large_catalogue.py [--items 1000000 100000] [--users 300000] [--interactions 10000000]
        [--width 64] [--batch 64] [--epochs 2] [--folder FOLDER]

The model trains with the sampled softmax and updates its table by rows. `refit` does nothing here, as by default.

`--folder` keeps the copy, so that a run that was stopped goes on with the next stage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.table import Table
from ruamel.yaml import YAML

from lecdsr.core.console import console, say
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import atomic_path, write_table
from lecdsr.core.paths import enter_repository
from lecdsr.core.schemas import PROFILES
from lecdsr.embed.base import to_table

ROOT = Path(__file__).parents[1]
MODEL = "tandem"
STAGES = ("settings", "download", "sequences", "candidates", "vectors", "train", "refit", "recommend")
WITH_MODEL = ("train", "refit", "recommend")
CENTRES = 2000
#: Reads the processor time and the peak memory of a stage from the kernel when it ends.
RUN = (
    "import importlib, json, sys, time\n"
    "from lecdsr.core.memory import peak_memory\n"
    "begin = time.monotonic()\n"
    "stage, cost, *arguments = sys.argv[1:]\n"
    "importlib.import_module(f'stages.{stage}').main(*arguments)\n"
    "found = {'seconds': time.monotonic() - begin, 'cpu': time.process_time(), 'memory': peak_memory()}\n"
    "json.dump(found, open(cost, 'w'))\n"
)


def prepare(folder: Path, items: int, arguments: argparse.Namespace) -> Path:
    """Copy the code of the repository, with one pair of the wanted size."""
    copy = folder / f"{items}"
    if (copy / "pairs/large.yaml").exists():
        return copy
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("lecdsr", "stages", "params.yaml", "dvc.yaml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    (copy / ".dvc").mkdir()
    (copy / "pairs").mkdir()
    pair = {
        "domains": ["A", "B"],
        "release": 2018,
        "source": "synthetic",
        "download": {
            "synthetic": {
                "users": arguments.users,
                "items_x": items // 2,
                "items_y": items // 2,
                "interactions_per_user": arguments.interactions / arguments.users,
            }
        },
        "sequences": {"min_item": 1},
        "candidates": {"negatives": 99},
        "train": {
            "shared": {"epochs": arguments.epochs, "tables": "rows", "validation_targets": 5000},
            MODEL: {
                "width": arguments.width,
                "batch_size": arguments.batch,
                "loss": "sampled",
                "content_weight": 0.0,
            },
        },
    }
    with open(copy / "pairs/large.yaml", "w", encoding="utf-8") as file:
        YAML().dump(pair, file)
    yaml = YAML()
    params = yaml.load((copy / "params.yaml").read_text(encoding="utf-8"))
    params["active"], params["models"] = ["large"], [MODEL]
    with open(copy / "params.yaml", "w", encoding="utf-8") as file:
        yaml.dump(params, file)
    return copy


def write_vectors(copy: Path, width: int) -> None:
    """Draw unit vectors of items around a few centres, and no profiles."""
    rng, data = np.random.default_rng(5), copy / "data/large"
    centres = rng.standard_normal((CENTRES, width)).astype(np.float32)
    count = pq.read_metadata(data / "sequences/items.parquet").num_rows
    rows = centres[rng.integers(CENTRES, size=count)] + rng.standard_normal((count, width), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for name, vectors in (("items", rows), ("phrases", rows[:0])):
        table = to_table(vectors, "drawn at random")
        write_table(data / f"vectors/{name}.parquet", table, table.schema)
    write_table(data / "vectors/profiles.parquet", PROFILES.empty_table(), PROFILES)


def run(copy: Path, stage: str, width: int) -> dict[str, float]:
    """Run one stage unless it has run, and return its seconds, processor seconds and peak memory in bytes."""
    note = copy / f"cost-{stage}.json"
    if not note.exists():
        say(f"{copy.name} items: {stage}")
        begin, used = time.monotonic(), time.process_time()
        with atomic_path(note) as cost:
            if stage == "vectors":
                write_vectors(copy, width)
                taken = {"seconds": time.monotonic() - begin, "cpu": time.process_time() - used, "memory": 0}
                cost.write_text(json.dumps(taken))
            else:
                arguments = [MODEL] if stage in WITH_MODEL else []
                environment = {**os.environ, "PYTHONPATH": str(copy)}
                command = [sys.executable, "-c", RUN, stage, str(cost), "large", *arguments]
                subprocess.run(command, cwd=copy, env=environment, check=True)
    found: dict[str, float] = json.loads(note.read_text())
    return found


def rates(copy: Path, stage: str, seconds: float, arguments: argparse.Namespace) -> str:
    """What a stage got through in a processor second."""
    data = copy / "data/large"
    interactions = pq.read_metadata(data / "sequences/interactions.parquet").num_rows
    users = pq.read_metadata(data / "sequences/users.parquet").num_rows
    counts = {
        "sequences": (interactions, "interactions"),
        "train": (interactions * arguments.epochs, "interactions"),
        "recommend": (users, "users"),
    }
    if stage not in counts:
        return ""
    count, unit = counts[stage]
    return f"{count / seconds:,.0f} {unit}/s"


@exit_on_user_error()
def main() -> None:
    """Run all stages at each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 100_000], help="items of both domains")
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=64, help="width of the model and of the text vectors")
    parser.add_argument("--batch", type=int, default=64, help="users of a training step")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the generated pair and what the stages wrote here")
    arguments = parser.parse_args()
    enter_repository()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder.absolute() if arguments.folder else Path(temporary)
        table = Table("items", "stage", "seconds", "processor s", "rate", "peak GB")
        for items in arguments.items:
            copy = prepare(folder, items, arguments)
            for stage in STAGES:
                cost = run(copy, stage, arguments.width)
                rate = rates(copy, stage, cost["cpu"], arguments) if stage not in ("settings", "download") else ""
                peak = f"{cost['memory'] / 1e9:.2f}" if cost["memory"] else ""
                table.add_row(f"{items:,}", stage, f"{cost['seconds']:,.1f}", f"{cost['cpu']:,.1f}", rate, peak)
        console.print(table)


if __name__ == "__main__":
    main()
