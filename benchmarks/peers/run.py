"""Train one side once, rank the held-out targets, and write a record and the ranks; run by benchmarks/peers/compare.py.

python -m benchmarks.peers.run --side rectools-sasrec --pair demo --seed 1 --out FOLDER/NAME
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.clock import Budget, EpochClock
from benchmarks.peers.sides import OURS, SIDES
from benchmarks.peers.task import Task, Trained, load_task_data
from lecdsr.core.console import say
from lecdsr.core.device import choose_device, processor_name
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import write_json, write_table
from lecdsr.core.memory import keep_freed_memory, peak_memory
from lecdsr.core.paths import enter_repository
from lecdsr.core.schemas import RANKS
from lecdsr.evaluate.evaluate import metrics_of

NEVER = 1_000_000


def measured(arguments: Any) -> tuple[Trained, EpochClock]:
    """Train and rank."""
    device = choose_device(arguments.device)
    # Our models end by their own rule: the patience of `train.shared`, after each decay of the learning rate.
    patience = NEVER if arguments.side in OURS else arguments.patience
    budget = Budget(arguments.epochs, patience, arguments.seconds, arguments.deadline)
    clock = EpochClock(budget, device)
    task = Task(
        arguments.pair,
        *load_task_data(arguments.pair),
        json.loads(arguments.setting),
        arguments.seed,
        device,
        arguments.precision,
        clock,
        arguments.role != "time",
    )
    train = importlib.import_module(f"benchmarks.peers.{SIDES[arguments.side]}").train
    return train(arguments.side, task), clock


def record(arguments: Any, trained: Trained, clock: EpochClock) -> dict[str, Any]:
    """Collect what is known of the run."""
    best = clock.best
    assert best is not None
    gpu = clock.device.type == "cuda"
    return {
        "side": arguments.side,
        "role": arguments.role,
        "setting": json.loads(arguments.setting),
        "seed": arguments.seed,
        "valid_ndcg@10": best["ndcg@10"],
        "best_epoch": int(best["epoch"]),
        "epochs": len(clock.log),
        "ended": clock.ended,
        "parameters": trained.parameters,
        "ram_gb": round(peak_memory() / 1e9, 2),
        "gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if gpu else None,
        "library": trained.library,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": processor_name(clock.device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "precision": arguments.precision,
        "metrics": None if trained.ranks is None else metrics_of(trained.ranks),
        "log": clock.log,
    }


@exit_on_user_error()
def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--role", choices=["grid", "time", "seed"], default="seed", help="a time run ranks nothing")
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--setting", default="{}", help="JSON of the settings that differ from the side's defaults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--seconds", type=float, help="seconds of training, without validation")
    parser.add_argument("--deadline", type=float, help="no epoch begins after this time (seconds since 1970)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.json, and the ranks to OUT.parquet")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    keep_freed_memory()  # as in our own trainings; a softmax over all items takes and frees a gigabyte in every step
    enter_repository()
    trained, clock = measured(arguments)
    if trained.ranks is not None:
        write_table(out.with_name(f"{out.name}.parquet"), trained.ranks, RANKS)
    found = record(arguments, trained, clock)
    write_json(out.with_name(f"{out.name}.json"), found)
    say(f"{out.name}: {found['epochs']} epochs, validation NDCG@10 {found['valid_ndcg@10']:.4f}")


if __name__ == "__main__":
    main()
