"""The full softmax against the sampled one on a large catalogue: seconds a step, validation at equal steps and time.

Both sides start from the same weights and see the same batches at a constant learning rate after the warm-up. The full
softmax updates its table densely, the sampled one by rows, as one would train them. The sampled side goes on until it
has used the processor time of the full one. A pair must have been built up to its vectors, for example by
benchmarks/large_catalogue.py, in whose folder this can run.

    cd FOLDER/100000 && python -m benchmarks.full_or_sampled [--pair large] [--steps 300] [--every 100] [--targets 5000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from rich.table import Table

from benchmarks.common.measure import measure
from lecdsr.config.load import load_block
from lecdsr.core.console import console, say, silent
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import VALID
from lecdsr.data.load import load_pair_data
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.fit import prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.step import Batch, Steps
from lecdsr.train.validator import SCORE, Validator

CPU = torch.device("cpu")


class Point(NamedTuple):
    """Score after some steps, and the processor seconds that the steps took."""

    steps: int
    cpu: float
    score: float


def endless(loop: Steps) -> Iterator[Batch]:
    """Batches of one epoch after the other."""
    epoch = 0
    while True:
        epoch += 1
        yield from loop.batches(epoch)


def train(loss: str, options: dict[str, Any], steps: int, seconds: float) -> tuple[list[Point], int]:
    """Train for a number of steps and at least for ``seconds``; return scores, and the steps of an epoch."""
    prepare_process()
    torch.set_num_threads(1)
    found = find_model(options["model"]).settings
    known = load_block("train", found, options["pair"], options["model"]).model_dump()
    settings = found.model_validate({**known, "loss": loss})
    shared = SharedSettings(device="cpu", tables="rows" if loss == "sampled" else "dense")
    data = load_pair_data(Artefacts(options["pair"]), settings.domains, settings.order, shared.seed)
    network = build(options["model"], settings, data.info, shared.seed)
    valid, length = data.sequences.of_split(VALID), settings.history_length
    validator = Validator(network, valid, data.info, length, CPU, targets=options["targets"], seed=shared.seed)
    loop = Steps(network, data.sequences, data.info, settings, shared, CPU)
    torch.manual_seed(shared.seed)
    points, cpu = [], 0.0
    for step, batch in enumerate(endless(loop), 1):
        network.train()
        begin = time.process_time()
        loop.step(batch, step - 1)
        cpu += time.process_time() - begin
        done = step >= steps and cpu >= seconds
        if step % options["every"] == 0 or done:
            with silent(True):
                points.append(Point(step, cpu, validator.evaluate()[SCORE]))
        if done:
            break
    return points, loop.per_epoch


def report(sides: dict[str, tuple[list[Point], int]]) -> None:
    """Print the scores of both sides, and what a step and an epoch take."""
    table = Table("softmax", "steps", "processor s", "NDCG@10")
    for loss, (points, per_epoch) in sides.items():
        for point in points:
            table.add_row(loss, f"{point.steps:,}", f"{point.cpu:,.1f}", f"{point.score:.4f}")
        each = points[-1].cpu / points[-1].steps
        epoch = f"{each * per_epoch:,.0f} s an epoch of {per_epoch:,} steps (computed)"
        say(f"{loss}: {each * 1000:,.0f} ms a step, {epoch}")
    console.print(table)


@exit_on_user_error()
def main() -> None:
    """Train both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="large")
    parser.add_argument("--model", default="tandem")
    parser.add_argument("--steps", type=int, default=300, help="steps of the full softmax")
    parser.add_argument("--every", type=int, default=100, help="steps between two validations")
    parser.add_argument("--targets", type=int, default=5000, help="validation targets")
    arguments = parser.parse_args()
    enter_repository()
    options = vars(arguments)
    full = measure(train, "full", options, arguments.steps, 0.0).result
    say("the full softmax is trained")
    sampled = measure(train, "sampled", options, arguments.steps, full[0][-1].cpu).result
    report({"full": full, "sampled": sampled})


if __name__ == "__main__":
    main()
