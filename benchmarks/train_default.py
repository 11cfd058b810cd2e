"""The default model to its best validation score: the loop as it was, against today's, in the same run.

The plain side scores every item in every step, lets the learning rate fall in steps of 0.3 after four epochs without a
better score, and builds the item table again for every batch of a validation. Ours is what `params.yaml` says. Both
start from the same weights and see the same batches. A pair must have been built up to its vectors.

Seconds are those until the end of the best epoch, validations included. The difference of NDCG@10 is over validation
targets, each the mean over the seeds, with its 95 % interval.

    python benchmarks/train_default.py [--pairs demo] [--seeds 1 2 3] [--plain-seeds 1] [--device cuda]
        [--folder FOLDER] [--profile]

`--folder` keeps the result of every training, so that a run that was stopped goes on with the next.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch.profiler import profile

from benchmarks.common.measure import measure
from lecdsr.config.load import load_block
from lecdsr.core.console import console, say, silent
from lecdsr.core.device import choose_device, has_bfloat16
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import atomic_path
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import VALID
from lecdsr.data.batch import Histories
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train import trainer
from lecdsr.train.fit import prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.step import Steps
from lecdsr.train.validator import Validator, validation_batch

MODEL = "tandem"
#: What the plain side changes of the settings.
PLAIN_SHARED = {"patience": 4, "lr_decays": 3, "lr_decay_factor": 0.3}
PLAIN_MODEL = {"loss": "full", "lr_schedule": "steps"}


@dataclass
class Training:
    """What a training took, and what it reached.

    Args:
        wall: seconds to the end of the best epoch.
        cpu: processor seconds until then.
        epochs: best epoch, and epochs trained.
        score: validation score of the best epoch.
        ndcg: ``[W]`` NDCG@10 of each validation target.
    """

    wall: float
    cpu: float
    epochs: tuple[int, int]
    score: float
    ndcg: list[float]


def train(pair: str, seed: int, plain: bool, device: torch.device) -> Training:
    """Train the default model once and rank the validation targets with its best weights."""
    prepare_process()
    settings, shared, data = load(pair, seed, plain, device)
    network = build(MODEL, settings, data.info, seed)
    if plain:
        _rebuild_tables(network)
    torch.manual_seed(seed)
    begin, cpu = time.perf_counter(), time.process_time()
    ends: list[tuple[float, float]] = []
    evaluate: Callable[[Validator], dict[str, float]] = Validator.evaluate

    def timed(validator: Validator) -> dict[str, float]:
        scores = evaluate(validator)
        ends.append((time.perf_counter() - begin, time.process_time() - cpu))
        return scores

    Validator.evaluate = timed  # type: ignore[method-assign, assignment]
    result = trainer.train(network, data.sequences, data.info, settings, shared, device)
    network.load_state_dict(result.weights)
    valid = data.sequences.of_split(VALID)
    with silent(True):
        ranks = rank_targets(
            network, valid, data.info, settings.history_length, validation_batch(data.info), device
        ).full
    ndcg = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)
    wall, used = ends[result.best_epoch]
    return Training(wall, used, (result.best_epoch, len(result.log) - 1), result.best_score, ndcg.tolist())


def load(pair: str, seed: int, plain: bool, device: torch.device) -> tuple[Any, SharedSettings, PairData]:
    """Settings of one side, and the data."""
    shared = load_block("train", SharedSettings, pair, "shared").model_copy(
        update={"seed": seed, "device": device.type}
    )
    settings = load_block("train", find_model(MODEL).settings, pair, MODEL)
    if not has_bfloat16(device):
        shared = shared.model_copy(update={"precision": "float32"})
    if plain:
        shared, settings = shared.model_copy(update=PLAIN_SHARED), settings.model_copy(update=PLAIN_MODEL)
    return (
        settings,
        shared,
        load_pair_data(Artefacts(pair), settings.domains, settings.order, seed, settings.profiles_read),
    )


def _rebuild_tables(network: Recommender) -> None:
    """Let the model build its item table for every batch that is ranked."""

    def query_encoder() -> Callable[[Histories], torch.Tensor]:
        return lambda histories: type(network).query_encoder(network)(histories)

    network.query_encoder = query_encoder  # type: ignore[method-assign]


def kept(folder: Path, pair: str, seed: int, plain: bool, device: torch.device) -> Training:
    """Train in a process of its own, unless the folder has the result."""
    path = folder / f"{pair}-{'plain' if plain else 'ours'}-{seed}.json"
    if not path.exists():
        say(f"{pair}, {'the plain loop' if plain else 'ours'}, seed {seed}")
        found = measure(train, pair, seed, plain, device).result
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(found.__dict__))
    return Training(**json.loads(path.read_text()))


def report(pair: str, plain: dict[int, Training], ours: dict[int, Training]) -> None:
    """Print seconds and quality of both sides, and their ratio and difference."""
    table = Table("seed", "side", "best epoch", "seconds", "processor s", "NDCG@10", title=pair)
    for name, runs in (("plain", plain), ("ours", ours)):
        for seed, run in runs.items():
            epochs = f"{run.epochs[0]} of {run.epochs[1]}"
            table.add_row(str(seed), name, epochs, f"{run.wall:,.0f}", f"{run.cpu:,.0f}", f"{run.score:.4f}")
    console.print(table)
    both = [seed for seed in ours if seed in plain]
    wall, cpu = (
        np.mean([getattr(plain[seed], name) / getattr(ours[seed], name) for seed in both]) for name in ("wall", "cpu")
    )
    say(f"{pair}: {wall:.1f} times faster to the best epoch, {cpu:.1f} times in processor time ({len(both)} seeds)")
    difference = _mean(ours, both) - _mean(plain, both)
    half, before = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5, _mean(plain, both).mean()
    say(
        f"{pair}: NDCG@10 {difference.mean():+.4f} ± {half:.4f} over targets, "
        f"{difference.mean() / before:+.1%} of {before:.4f}"
    )


def _mean(runs: dict[int, Training], seeds: list[int]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.mean([runs[seed].ndcg for seed in seeds], axis=0)
    return found


def profile_steps(pair: str, plain: bool, device: torch.device, steps: int = 20) -> None:
    """Print where the time of a step goes."""
    prepare_process()
    settings, shared, data = load(pair, 1, plain, device)
    network = build(MODEL, settings, data.info, 1).to(device)
    loop = Steps(network, data.sequences, data.info, settings, shared, device)
    network.train()
    with profile() as seen:
        for number, batch in zip(range(steps), loop.batches(1), strict=False):
            loop.step(batch, number)
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=40))


@exit_on_user_error()
def main() -> None:
    """Train both sides and print what they took and reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["demo"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--plain-seeds", nargs="+", type=int, help="seeds of the plain side, by default the same")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda, where processor seconds say little")
    parser.add_argument("--folder", type=Path, help="keep the result of every training here")
    parser.add_argument("--profile", action="store_true", help="print where the time of a step goes, and stop")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    enter_repository()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.profile:
        for side in (True, False):
            profile_steps(arguments.pairs[0], side, device)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        plain_seeds = arguments.plain_seeds or arguments.seeds
        for pair in arguments.pairs:
            ours = {seed: kept(folder, pair, seed, False, device) for seed in arguments.seeds}
            plain = {seed: kept(folder, pair, seed, True, device) for seed in plain_seeds}
            report(pair, plain, ours)


if __name__ == "__main__":
    main()
