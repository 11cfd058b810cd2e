"""Benchmark of ranking test targets with the published model: this project against a plain implementation, in one run.

The plain side (benchmarks/plain) loads lists of 999 negatives with a default DataLoader, gathers the output vectors of
a thousand candidates per user, keeps gradients and sorts. Ours is `lecdsr.evaluate.ranks.rank_targets`: all items of
the target's domain except the history, once alone, as after every epoch of training, and once with the ranks among 999
negatives from the same scores, as in the stage `evaluate`. Before timing, both rank the same candidates with the same
weights and must agree.

Both sides take turns, so that other work on the machine slows both. Figures are medians over the rounds; ratios and
shares are computed per round. GFLOP/s count the arithmetic that each ranking cannot avoid
(benchmarks/common/arithmetic.py has the formula; every text is projected once in total). "share" is relative to the
best matrix product of the round. Every side has its own process, so that its peak memory, including libraries and data,
is its own.

    python benchmarks/evaluation.py [--users 7144] [--rounds 4] [--plain-batch 1024] [--width 384 1024] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.common.arithmetic import Counts, count, evaluation_flop, matrix_rates
from benchmarks.common.measure import Worker, measure
from benchmarks.plain.evaluation import ranks_of
from benchmarks.plain.lecdsr import enliven
from benchmarks.plain.lists import Lists
from benchmarks.plain.shape import Case, add_case_arguments, cases
from lecdsr.candidates.draw import sample_without
from lecdsr.core.arrays import IntArray, expand
from lecdsr.core.console import console, say
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.paths import enter_repository
from lecdsr.core.schemas import TEST
from lecdsr.data.batch import Gatherer
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import PairData
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.lecdsr import LeCDSR
from lecdsr.models.saved import build

NEGATIVES = 999
# Users that both sides rank before timing, to compare them and to warm up.
FEW = 512
# A rounding error may swap neighbouring ranks, but no more.
AGREE, APART = 0.99, 1.0
# Batch size of the stage, as in params.yaml.
BATCH = 512
CPU = torch.device("cpu")


class Turn(NamedTuple):
    """Measurement of one turn: users ranked, seconds, pairs scored, and counts of the histories."""

    users: int
    seconds: float
    pairs: int
    counts: Counts


def targets(data: PairData, users: int) -> Sequences:
    """Draw the test windows of that many users, once."""
    test = data.sequences.of_split(TEST)
    return test.take(np.sort(np.random.default_rng(5).permutation(len(test))[:users]))


def plain(case: Case, users: int, rounds: int, batch: int) -> Iterator[Any]:
    """Yield the seconds of the draw, then those of each round of plain ranking (some users, a thousand candidates)."""
    data, settings = case.prepare(), case.settings
    network, test = case.network(data), targets(data, users)
    parts = [test.take(part) for part in np.array_split(np.arange(len(test)), rounds)]
    begin = time.perf_counter()
    lists = [Lists(part, data.info, settings.history_length, NEGATIVES, seed=6) for part in parts]
    yield time.perf_counter() - begin
    ranks_of(network, lists[0], batch)
    for part, samples in zip(parts, lists, strict=True):
        begin = time.perf_counter()
        ranks_of(network, samples, batch)
        seconds = time.perf_counter() - begin
        yield Turn(len(part), seconds, len(part) * (1 + NEGATIVES), histories(case, data, part))


def ours(case: Case, users: int, sampled: bool) -> Iterator[Any]:
    """Yield the seconds of the draw, then those of each round of our ranking; with negatives too if ``sampled``."""
    data, settings = case.prepare(), case.settings
    model = build("lecdsr", settings, data.info, 1)
    test = targets(data, users)
    begin = time.perf_counter()
    negatives = draw(test, data.info) if sampled else None
    yield time.perf_counter() - begin
    in_y = int((test.target >= data.info.n_x).sum())
    pairs = (len(test) - in_y) * data.info.n_x + in_y * data.info.n_y
    rank_targets(model, test.take(np.arange(min(FEW, len(test)))), data.info, settings.history_length, BATCH, CPU)
    while True:
        begin = time.perf_counter()
        rank_targets(model, test, data.info, settings.history_length, BATCH, CPU, negatives=negatives)
        seconds = time.perf_counter() - begin
        yield Turn(len(test), seconds, pairs, histories(case, data, test))


def histories(case: Case, data: PairData, test: Sequences) -> Counts:
    """Count over all histories at once."""
    info = data.info
    gatherer = Gatherer(data.sequences, case.settings.history_length, info.n_x, info.padding, CPU)
    gathered = gatherer.histories(test.user, test.start, test.end - 1)
    return count(gathered.sequence, gathered.user, info.padding, case.masked)


def draw(test: Sequences, info: DatasetInfo) -> list[IntArray]:
    """Draw 999 items per target from its domain that the user never had, as the stage `candidates` does."""
    window, row = expand(test.seen_start, test.target_row + 1)
    forbidden = np.unique(test.user[window] * info.n_items + test.seen_items[row])
    drawn: list[IntArray] = [np.empty(0, np.int64)] * len(test)
    in_y = test.target >= info.n_x
    rng = np.random.default_rng(8)
    for domain in (0, 1):
        chosen, inside = np.flatnonzero(in_y == bool(domain)), info.items_of(domain)
        bounds = inside.start, inside.stop
        rows = sample_without(rng, test.user[chosen], bounds, info.n_items, forbidden, NEGATIVES)
        for place, items in zip(chosen, rows, strict=True):
            drawn[place] = items
    return drawn


def agreement(case: Case) -> tuple[float, float]:
    """Compare both sides: share of equal ranks, and the largest difference between two ranks."""
    data, settings = case.prepare(), case.settings
    network = case.network(data)
    enliven(network, seed=2)
    model = cast(LeCDSR, build("lecdsr", settings, data.info, 1))
    model.load_state_dict(network.state_dict())
    test = targets(data, FEW)
    samples = Lists(test, data.info, settings.history_length, NEGATIVES, seed=6)
    negatives = [np.array(candidates[1:]) for *_, candidates in samples.samples]
    found = ranks_of(network, samples, settings.batch_size).numpy()
    expected = rank_targets(model, test, data.info, settings.history_length, BATCH, CPU, negatives=negatives).sampled
    assert expected is not None
    return float((found == expected).mean()), float(np.abs(found - expected).max())


@exit_on_user_error()
def main() -> None:
    """Parse the sizes, check, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=7144, help="users ranked by either side (7144, all there are)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=4,
        help="turns: ours ranks all users in each, the plain side its share of them (4)",
    )
    parser.add_argument(
        "--plain-batch", type=int, default=1024, help="users in a batch of the plain side (1024, as published)"
    )
    add_case_arguments(parser)
    arguments = parser.parse_args()
    enter_repository()
    table = Table(
        *("vectors", "side", "setup s", "users/s", "ratio", "M pairs/s", "ratio", "GFLOP/s", "share", "peak GB"),
        title="Ranking test targets with the published model",
        title_justify="left",
    )
    for case in cases(arguments):
        compare(table, case, arguments.users, arguments.rounds, arguments.plain_batch)
    console.print(table)


def compare(table: Table, case: Case, users: int, rounds: int, plain_batch: int) -> None:
    """Check and measure one width, and add its rows to the table."""
    same, apart = measure(agreement, case).result
    say(f"width {case.width}: {same:.1%} of {FEW} sampled ranks are the same, the furthest {apart:g} apart")
    if not (same >= AGREE and apart <= APART):
        raise SystemExit("both sides must rank alike")
    settings = case.settings
    rows = settings.batch_size * settings.history_length
    rates = Worker(matrix_rates, case.threads, rows, case.width, settings.hidden)
    sides = {
        "plain": Worker(plain, case, users, rounds, plain_batch),
        "full": Worker(ours, case, users, False),
        "full, sampled": Worker(ours, case, users, True),
    }
    setups = [side.next() for side in sides.values()]
    machine, turns = [], []
    for _ in range(rounds):
        machine.append(rates.next())
        turns.append([side.next() for side in sides.values()])
    rates.close()
    say(f"width {case.width}: the machine did {', '.join(f'{rate:.0f}' for rate in machine)} GFLOP/s before the rounds")
    for place, (name, side) in enumerate(sides.items()):
        own, base = [row[place] for row in turns], [row[0] for row in turns]
        figures = cells(case, own, base, machine)
        table.add_row(str(case.width), name, f"{setups[place]:.2f}", *figures, f"{side.close():.2f}")


def cells(case: Case, own: list[Turn], base: list[Turn], machine: list[float]) -> tuple[str, ...]:
    """Compute medians over the rounds of one side relative to ``base``; ``machine`` is in GFLOP/s."""
    sizes = case.width, case.settings.hidden, case.settings.width, case.settings.history_length
    users, pairs = (np.array([[turn.users, turn.pairs] for turn in own]) / _seconds(own)).T  # each [rounds]
    base_users, base_pairs = (np.array([[turn.users, turn.pairs] for turn in base]) / _seconds(base)).T
    flop = [evaluation_flop(turn.counts, *sizes, turn.pairs / turn.users) for turn in own]
    speed = np.array(flop) / 1e9 / _seconds(own)[:, 0]
    return (
        f"{np.median(users):,.0f}",
        f"{np.median(users / base_users):.2f}",
        f"{np.median(pairs) / 1e6:.3g}",
        f"{np.median(pairs / base_pairs):.1f}",
        f"{np.median(speed):.1f}",
        f"{np.median(speed / np.array(machine)):.1%}",
    )


def _seconds(turns: list[Turn]) -> NDArray[np.float64]:
    return np.array([[turn.seconds] for turn in turns])  # [rounds, 1]


if __name__ == "__main__":
    main()
