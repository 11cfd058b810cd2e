"""RecTools' SASRec against our `sasrec` of the same size and our `tandem`: seconds an epoch, seconds and score at best.

All sides are trained one after the other, on one thread each, with the same data, width, blocks, heads, history length,
batch size, dropout, learning rate and patience; `tandem` has its defaults. RecTools needs an environment of its own
(benchmarks/peers/rectools_sasrec.py). Validations are not counted.

    python -m benchmarks.peers.compare --peer-python ENVIRONMENT/bin/python --pair food_kitchen --folder FOLDER

`--folder` keeps the lines of every side; a side that has them is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from lecdsr.core.console import console, say
from lecdsr.core.files import atomic_path
from lecdsr.core.paths import enter_repository

#: The size that both sides of `sasrec` share, under our names and under those of the script for RecTools.
SIZE = {"width": 64, "layers": 2, "heads": 2, "history_length": 50, "batch_size": 128, "dropout": 0.2}
RATE = 0.001
THEIRS = {"layers": "blocks", "history_length": "length", "batch_size": "batch"}
ROOT = Path(__file__).parents[2]
Rows = list[dict[str, float]]


def commands(arguments: Any) -> dict[str, list[str]]:
    """The command of each side, without its output."""
    limits = ["--pair", arguments.pair, "--patience", str(arguments.patience)]
    ours = [sys.executable, "-m", "benchmarks.peers.ours", *limits, "--epochs", str(arguments.epochs), "--model"]
    size = [f"{name}={value}" for name, value in SIZE.items()]
    theirs = [text for name, value in SIZE.items() for text in (f"--{THEIRS.get(name, name)}", str(value))]
    script = str(ROOT / "benchmarks/peers/rectools_sasrec.py")
    found = {
        "sasrec": [*ours, "sasrec", *size, f"learning_rate={RATE}"],
        "tandem": [*ours, "tandem"],
    }
    if arguments.peer_python:
        epochs = ["--epochs", str(arguments.peer_epochs or arguments.epochs)]
        found["rectools"] = [
            str(arguments.peer_python.absolute()),
            script,
            *limits,
            *epochs,
            *theirs,
            "--rate",
            str(RATE),
        ]
    return {side: command for side, command in found.items() if side in arguments.sides}


def rows_of(path: Path, command: list[str]) -> Rows:
    """Run one side unless its lines are there, and read them."""
    if not path.exists():
        say(f"training {path.stem}")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with atomic_path(path) as out:
            subprocess.run([*command, "--out", str(out)], env=environment, check=True)
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(sides: dict[str, Rows]) -> None:
    """Print one line for each side, with ratios to RecTools if it was trained."""
    table = Table("side", "epochs", "s / epoch", "CPU s / epoch", "best epoch", "s to best", "CPU s to best", "NDCG@10")
    for side, rows in sides.items():
        best, last = max(rows, key=lambda row: row["ndcg@10"]), rows[-1]
        each = (f"{last[unit] / last['epoch']:,.1f}" for unit in ("seconds", "cpu"))
        to_best = (f"{best[unit]:,.0f}" for unit in ("seconds", "cpu"))
        score = f"{best['ndcg@10']:.4f}"
        table.add_row(side, f"{last['epoch']:.0f}", *each, f"{best['epoch']:.0f}", *to_best, score)
    console.print(table)
    if "rectools" not in sides:
        return
    peer = max(sides["rectools"], key=lambda row: row["ndcg@10"])
    for side in (name for name in sides if name != "rectools"):
        level = [row for row in sides[side] if row["ndcg@10"] >= peer["ndcg@10"]]
        reached = f"{peer['cpu'] / level[0]['cpu']:.1f} times faster in processor time" if level else "never"
        say(f"{side} reaches the best score of RecTools, {peer['ndcg@10']:.4f}: {reached}")


def main() -> None:
    """Train the sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--peer-python", type=Path, help="Python with RecTools; without it, ours only")
    parser.add_argument("--peer-epochs", type=int, help="largest number of epochs of RecTools, by default the same")
    parser.add_argument("--sides", nargs="+", default=["sasrec", "tandem", "rectools"])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=4)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    enter_repository()
    found = commands(arguments)
    report({side: rows_of(folder / f"{side}.jsonl", command) for side, command in found.items()})


if __name__ == "__main__":
    main()
