"""Benchmark of batches of histories: gathered by index arithmetic against lists cut and padded in Python.

Prints the samples per second of both, in one run, and their ratio. No test depends on these figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import summary
from lecdsr.core.exit import exit_on_user_error
from lecdsr.data.batch import Gatherer, Samples, prefix_samples, recency
from lecdsr.data.sequences import from_tables
from lecdsr.sequences.split import leave_one_out


def make(users: int, length: int, items: int) -> tuple[Samples, Gatherer, IntArray]:
    """Generate random histories of two domains of equal size, split leave-one-out."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(users), length)
    item = rng.integers(0, items, users * length)
    time = np.tile(np.arange(length), users)
    split = leave_one_out(user, time, 2)
    sequences = from_tables(pa.table({"user": user, "item": item, "time": time}), split.windows)
    gatherer = Gatherer(sequences, 15, items // 2, items, torch.device("cpu"))
    return prefix_samples(sequences.of_split(0)), gatherer, item


def plain(samples: Samples, item: IntArray, chosen: IntArray, padding: int) -> torch.Tensor:
    """Build a batch the straightforward way: one list per sample, padded in Python."""
    rows = []
    for place in chosen:
        history = item[samples.start[place] : samples.row[place]].tolist()[-15:]
        rows.append([padding] * (15 - len(history)) + history)
    sequence = torch.tensor(rows)
    recency(sequence, padding // 2, padding)
    return sequence


def rate(work: Callable[[IntArray], object], batches: list[IntArray]) -> float:
    """Measure samples per second over all batches."""
    work(batches[0])
    start = time.perf_counter()
    for batch in batches:
        work(batch)
    return sum(map(len, batches)) / (time.perf_counter() - start)


@exit_on_user_error()
def main() -> None:
    """Parse the sizes, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=7_000, help="users, each with 24 interactions")
    parser.add_argument("--batch", type=int, default=1_024, help="samples of a batch")
    arguments = parser.parse_args()
    samples, gatherer, item = make(arguments.users, 24, 28_000)
    order = np.random.default_rng(1).permutation(len(samples))
    batches = [order[first : first + arguments.batch] for first in range(0, len(order), arguments.batch)]
    gathered = rate(lambda chosen: gatherer.prefixes(samples.take(chosen)), batches)
    lists = rate(lambda chosen: plain(samples, item, chosen, 28_000), batches)
    summary(
        "Batches of 15 items of history",
        {
            "samples": len(samples),
            "gathered, samples/s": gathered,
            "lists, samples/s": lists,
            "ratio": gathered / lists,
            "threads": torch.get_num_threads(),
        },
    )


if __name__ == "__main__":
    main()
