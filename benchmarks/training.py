"""Benchmark of training steps of the published model: this project against a plain implementation, in one run.

The plain side (benchmarks/plain) builds lists of 99 negatives before it starts, loads them with a default DataLoader,
projects the text of every position twice per step, and updates with a default AdamW. Ours is a step of
`lecdsr.train.step.Steps`, including batches and negatives. Both have the published shape (histories of 15, width 512,
99 negatives, batches of 1,024), on data of the size and lengths of Food–Kitchen. Before timing, both get the same
weights, batch and negatives, and must give the same loss and gradients.

Both sides take turns, so that other work on the machine slows both: a matrix product, a plain step, some steps of
ours, and again. Figures are medians over the rounds; ratios and shares are computed per round. GFLOP/s count the
arithmetic that a step cannot avoid (benchmarks/common/arithmetic.py has the formula), even if more is done. "share" is
relative to the best matrix product of the round. Every side has its own process, so that its peak memory, including
libraries and data, is its own.

    python benchmarks/training.py [--steps 20] [--rounds 5] [--width 384 1024] [--threads 2] [--profile]
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from itertools import count as count_up
from typing import Any, cast

import numpy as np
import torch
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks.common.arithmetic import Counts, count, matrix_rates, training_flop
from benchmarks.common.measure import Worker, measure
from benchmarks.plain.lecdsr import enliven
from benchmarks.plain.lists import Lists
from benchmarks.plain.shape import Case, add_case_arguments, cases, shared
from benchmarks.plain.training import loss_of, train
from lecdsr.core.console import console, say
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.paths import enter_repository
from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, PrefixBatch, prefix_samples
from lecdsr.data.load import PairData
from lecdsr.data.negatives import Draws, draw_negatives
from lecdsr.models.lecdsr import LeCDSR
from lecdsr.models.saved import build
from lecdsr.train.fit import prepare_process
from lecdsr.train.step import Steps

WARM = 2
TOLERANCE = 1e-4
CPU = torch.device("cpu")
MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::addmv", "aten::dot")


def plain(case: Case) -> Iterator[float]:
    """Yield the seconds of preparing the samples, then those of each step of the plain loop."""
    data, settings = case.prepare(), case.settings
    begin = time.perf_counter()
    training = data.sequences.of_split(TRAIN)
    samples = Lists(training, data.info, settings.history_length, settings.negatives, seed=1)
    yield time.perf_counter() - begin
    steps = train(case.network(data), samples, settings)
    deque(islice(steps, WARM), maxlen=0)
    yield from steps


def ours(case: Case, turn: int) -> Iterator[Any]:
    """Yield the seconds of preparing the samples, then mean seconds and counts of ``turn`` steps at a time.

    PyTorch is configured as in the stage `train`.
    """
    prepare_process()
    data = case.prepare()
    begin = time.perf_counter()
    loop = our_loop(case, data)
    yield time.perf_counter() - begin
    batches = chain.from_iterable(loop.batches(epoch) for epoch in count_up(1))
    for batch in islice(batches, WARM):
        loop.step(batch, 0)
    while True:
        begin, kept = time.perf_counter(), []
        for batch in islice(batches, turn):
            loop.step(batch, 0)
            kept.append(cast(PrefixBatch, batch).histories)
        seconds = (time.perf_counter() - begin) / len(kept)
        yield seconds, [count(each.sequence, each.user, data.info.padding, case.masked) for each in kept]


def our_loop(case: Case, data: PairData) -> Steps:
    """Build the project's steps with a new model."""
    settings = case.settings
    model = build("lecdsr", settings, data.info, 1).train()
    return Steps(model, data.sequences, data.info, settings, shared(), CPU)


def differences(case: Case) -> dict[str, float]:
    """Return the relative difference of the loss and of every gradient (largest difference over largest entry)."""
    data, settings = case.prepare(), case.settings
    info = data.info
    network = case.network(data)
    enliven(network, seed=2)
    model = cast(LeCDSR, build("lecdsr", settings, info, 1)).train()
    model.load_state_dict(network.state_dict())
    samples = prefix_samples(data.sequences.of_split(TRAIN))
    samples = samples.take(np.random.default_rng(3).permutation(len(samples))[: settings.batch_size])
    gatherer = Gatherer(data.sequences, settings.history_length, info.n_x, info.padding, CPU)
    histories, target = (batch := gatherer.prefixes(samples)).histories, batch.target
    negatives = draw_negatives(target, settings.negatives, info.n_x, info.n_y, Draws(4))
    candidates = torch.cat([target.unsqueeze(1), negatives], dim=1)  # [B, 1 + K]
    loss = loss_of(network, (histories.sequence, histories.position, histories.user, candidates), settings)
    loss.backward()  # type: ignore[no-untyped-call]
    total = torch.stack([term.value() for term in model.losses(histories, candidates).values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    found = {"loss": abs(total.item() / loss.item() - 1)}
    theirs = dict(model.named_parameters())
    for name, weight in network.named_parameters():
        gradient, other = weight.grad, theirs[name].grad
        assert gradient is not None
        assert other is not None
        found[name] = float((gradient - other.to_dense()).abs().max() / gradient.abs().max())
    return found


def operators(case: Case, steps: int, top: int) -> list[tuple[str, float, int, float]]:
    """List the operators of our step by their own time: name, share of the step, calls and GFLOP per step.

    The first row is all matrix products, the last but one all other operators, the last the time outside of operators.
    """
    prepare_process()
    data = case.prepare()
    loop = our_loop(case, data)
    batches = loop.batches(1)
    for batch in islice(batches, WARM):
        loop.step(batch, 0)
    begin = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as watched:
        for batch in islice(batches, steps):
            loop.step(batch, 0)
        wall = time.perf_counter() - begin
    events = sorted(watched.key_averages(), key=lambda event: event.self_cpu_time_total, reverse=True)

    def row(name: str, some: list[Any]) -> tuple[str, float, int, float]:
        own = sum(event.self_cpu_time_total for event in some) / 1e6
        calls = sum(event.count for event in some)
        flop = sum(event.flops for event in some if event.key in MATRIX_PRODUCTS)
        return name, own / wall, calls // steps, flop / steps / 1e9

    rows = [row("all matrix products", [event for event in events if event.key in MATRIX_PRODUCTS])]
    rows += [row(event.key, [event]) for event in events[:top]]
    rows.append(row("other operators", events[top:]))
    inside = sum(event.self_cpu_time_total for event in events) / 1e6 / wall
    return [*rows, ("outside of operators", 1 - inside, 0, 0.0)]


@exit_on_user_error()
def main() -> None:
    """Parse the sizes, check, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="number of our steps to measure (20)")
    parser.add_argument("--rounds", type=int, default=5, help="number of turns, each with one plain step (5)")
    add_case_arguments(parser)
    parser.add_argument("--profile", action="store_true", help="print the time of our step by operator")
    arguments = parser.parse_args()
    enter_repository()
    table = Table(
        *("vectors", "side", "setup s", "samples/s", "ratio", "GFLOP/s", "share", "peak GB"),
        title="Training the published model",
        title_justify="left",
    )
    for case in cases(arguments):
        compare(table, case, arguments.rounds, max(1, arguments.steps // arguments.rounds))
        if arguments.profile:
            show_profile(case)
    console.print(table)


def compare(table: Table, case: Case, rounds: int, turn: int) -> None:
    """Check and measure one width, and add its rows to the table."""
    found = measure(differences, case).result
    worst = max(found, key=lambda name: found[name])
    say(f"width {case.width}: loss differs by {found['loss']:.1e}, gradients by {found[worst]:.1e} at most ({worst})")
    if not all(difference < TOLERANCE for difference in found.values()):  # NaN is not less either
        raise SystemExit(f"loss and gradients must agree within {TOLERANCE}: {found}")
    settings = case.settings
    batch = settings.batch_size
    rates = Worker(matrix_rates, case.threads, batch * settings.history_length, case.width, settings.hidden)
    sides = {"plain": Worker(plain, case), "lecdsr": Worker(ours, case, turn)}
    setups = [side.next() for side in sides.values()]
    turns = [(rates.next(), sides["plain"].next(), *sides["lecdsr"].next()) for _ in range(rounds)]
    counts = [each for *_, some in turns for each in some]
    sizes = settings.width, settings.history_length, 1 + settings.negatives
    gflop = float(np.mean([training_flop(each, case.width, settings.hidden, *sizes) for each in counts])) / 1e9
    mean = Counts(*(round(float(value)) for value in np.mean(counts, axis=0)))
    machine, *seconds = np.array([row[:3] for row in turns]).T  # each [rounds]
    say(
        f"width {case.width}: a step needs {gflop:.1f} GFLOP for {mean.items:,} distinct items, {mean.users:,} users "
        f"and {mean.positions:,} positions"
    )
    say(f"width {case.width}: the machine did {', '.join(f'{rate:.0f}' for rate in machine)} GFLOP/s before the rounds")
    for name, setup, taken in zip(sides, setups, seconds, strict=True):
        figures = (
            f"{setup:.2f}",
            f"{batch / np.median(taken):,.0f}",
            f"{np.median(seconds[0] / taken):.2f}",
            f"{gflop / np.median(taken):.1f}",
            f"{np.median(gflop / taken / machine):.1%}",
            f"{sides[name].close():.2f}",
        )
        table.add_row(str(case.width), name, *figures)
    rates.close()


def show_profile(case: Case) -> None:
    """Print the operators of our step."""
    table = Table("operator", "time", "calls", "GFLOP", title=f"Our step, width {case.width}", title_justify="left")
    for name, share, calls, gflop in measure(operators, case, 5, 20).result:
        table.add_row(name, f"{share:.1%}", str(calls or ""), f"{gflop:.1f}" if gflop else "")
    console.print(table)


if __name__ == "__main__":
    main()
