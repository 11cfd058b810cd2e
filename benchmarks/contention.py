"""Training and ranking beside busy neighbours: wall and processor seconds, quiet and with one and two of them.

    python -m benchmarks.contention [--items 900] [--users 2000] [--width 64] [--neighbours 0 1 2] [--plain]

A neighbour is a process that computes without a pause on one core. What it takes costs wall time in any case; it should
not cost processor time.

With `--plain` the same work also runs as OpenMP does it by default: every operation is spread over two threads that
spin while they wait for each other, in training and in ranking alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

from benchmarks.common.measure import measure
from benchmarks.memory import pair_of_walks


def spin() -> None:
    """Keep one core busy."""
    value = 1
    while True:
        value = value * 1_103_515_245 % 2_147_483_647


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Run ``count`` busy processes beside this one."""
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=spin, daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    time.sleep(1 if count else 0)
    try:
        yield
    finally:
        for process in busy:
            process.terminate()
            process.join()


@contextmanager
def openmp(plain: bool) -> Iterator[None]:
    """Set what new processes read of OpenMP: two spinning threads, or nothing, so that lecdsr decides."""
    wanted = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "active"} if plain else {}
    before = {name: os.environ.pop(name, None) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def train_and_rank(
    plain: bool, model: str, items: int, users: int, width: int, epochs: int
) -> dict[str, tuple[float, float]]:
    """Return wall and processor seconds of training and of ranking the held-out targets."""
    import numpy as np

    from lecdsr.core.schemas import TRAIN
    from lecdsr.evaluate import ranks
    from lecdsr.models.registry import find_model
    from lecdsr.train.fit import fit_model, prepare_process
    from lecdsr.train.settings import SharedSettings

    prepare_process()
    data = pair_of_walks(items, users)
    settings = find_model(model).settings.model_validate({"width": width})
    # On the plain side threads share each operation of a batch, instead of one batch for each thread.
    shared_batches: AbstractContextManager[Any] = nullcontext()
    if plain:
        shared_batches = mock.patch.object(ranks, "ranking_threads", return_value=1)
    found = {}
    clock = _Clock()
    shared = SharedSettings(device="cpu", epochs=epochs, patience=epochs)
    with shared_batches:
        fitted = fit_model(model, settings, shared, data, quiet=True)
        found["training"] = clock.lap()
        held_out = data.sequences.take(np.flatnonzero(data.sequences.split != TRAIN))
        ranks.rank_targets(fitted.network, held_out, data.info, settings.history_length, 256, fitted.device)
        found["ranking"] = clock.lap()
    return found


class _Clock:
    def __init__(self) -> None:
        self._at = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        taken = now[0] - self._at[0], now[1] - self._at[1]
        self._at = now
        return taken


def main() -> None:
    """Print a line for each number of neighbours and each side, with the factors of its quiet run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sasrec")
    parser.add_argument("--items", type=int, default=900, help="items of each domain")
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--plain", action="store_true", help="also with two spinning threads for every operation")
    chosen = parser.parse_args()
    quiet: dict[tuple[str, str], tuple[float, float]] = {}
    sides = ["ours", "plain"] if chosen.plain else ["ours"]
    print(f"{'side':6} {'work':10} {'neighbours':>10} {'wall s':>8} {'CPU s':>8} {'wall ×':>7} {'CPU ×':>7}")
    for count in chosen.neighbours:
        for side in sides:
            with openmp(side == "plain"), neighbours(count):
                sizes: tuple[Any, ...] = (chosen.items, chosen.users, chosen.width, chosen.epochs)
                found = measure(train_and_rank, side == "plain", chosen.model, *sizes).result
            for work, (wall, cpu) in found.items():
                base = quiet.setdefault((side, work), (wall, cpu))
                factors = f"{wall / base[0]:7.2f} {cpu / base[1]:7.2f}"
                print(f"{side:6} {work:10} {count:10} {wall:8.2f} {cpu:8.2f} {factors}", flush=True)


if __name__ == "__main__":
    main()
