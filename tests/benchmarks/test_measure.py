"""Work in separate processes: values in turns, peak memory, and a reported crash."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.common.measure import Worker, measure


def counting(first: int) -> Iterator[tuple[int, int]]:
    number = first
    while True:
        yield number, os.getpid()
        number += 1


def hungry(megabytes: int) -> Iterator[int]:
    held = np.ones(megabytes * 125_000)
    yield int(held[0])


def dying() -> Iterator[int]:
    yield 1
    os._exit(3)


def process() -> int:
    return os.getpid()


def test_workers_take_turns():
    workers = [Worker(counting, first) for first in (10, 20)]
    values = [worker.next() for _ in range(2) for worker in workers]
    assert [number for number, _ in values] == [10, 20, 11, 21]
    assert len({place for _, place in values} - {os.getpid()}) == 2
    for worker in workers:
        worker.close()


@pytest.mark.slow
def test_peak_memory_is_the_workers_own():
    small, large = Worker(hungry, 1), Worker(hungry, 400)
    small.next(), large.next()
    assert 0.3 < large.close() - small.close() < 0.5


def test_a_worker_that_dies():
    worker = Worker(dying)
    assert worker.next() == 1
    with pytest.raises(SystemExit, match="dying died, exit code 3"):
        worker.next()


def test_measure_runs_elsewhere():
    assert measure(process).result != os.getpid()
