"""Ctrl-C waits for the requests under way: they are paid for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lecdsr.core.console import warn


@contextmanager
def gentle_interrupt(stop: Callable[[BaseException], None]) -> Iterator[None]:
    """As long as the block runs, let the first interrupt call ``stop``; the second one is an ordinary one.

    An ordinary interrupt strikes anywhere, between a reply and its storing too. Nothing changes
    outside the main thread, which alone may handle signals, and where interrupts are ignored.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        stop(KeyboardInterrupt())
        warn("interrupted: waiting for the requests under way; once more to leave at once")

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
