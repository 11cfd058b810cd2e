"""Run work in a separate process and measure wall time, processor time and peak memory."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.memory import peak_memory


class Cost(NamedTuple):
    """Cost of a piece of work, and what it returned."""

    wall: float
    cpu: float
    memory_gb: float
    result: Any


def measure(work: Callable[..., Any], *arguments: Any) -> Cost:
    """Run ``work`` in a new process and measure it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        cost = Cost(*receiver.recv())
    except EOFError:
        process.join()
        raise SystemExit(f"{work.__name__} died, exit code {process.exitcode}") from None
    process.join()
    return cost


@exit_on_user_error()
def _child(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    begin = time.perf_counter()
    result = work(*arguments)
    wall = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((wall, used.ru_utime + used.ru_stime, peak_memory() / 1e9, result))


class Worker:
    """Generator in a new process that is asked for one value at a time.

    The sides of a comparison take turns this way, so that other work on the machine slows all of them.

    Args:
        work: function called with ``arguments`` in that process; returns an iterator.
    """

    def __init__(self, work: Callable[..., Iterator[Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = work.__name__
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def next(self) -> Any:
        """Return the next value."""
        return self._ask(True)

    def close(self) -> float:
        """End the process, and return its peak memory in gigabytes."""
        peak: float = self._ask(False)
        self.process.join()
        return peak

    def _ask(self, more: bool) -> Any:
        try:
            self.pipe.send(more)
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            raise SystemExit(f"{self.name} died, exit code {self.process.exitcode}") from None


@exit_on_user_error()
def _serve(pipe: Connection, work: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    values = work(*arguments)
    while pipe.recv():
        pipe.send(next(values))
    pipe.send(peak_memory() / 1e9)
