"""Stop a run without losing paid answers: on Ctrl-C, and when its parent process has died."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lecdsr.core.console import warn

#: Exit code of a process ended by SIGTERM, the signal that the parent received.
EXIT_CODE = 143
#: Seconds between checks of the parent process.
POLL_S = 0.25
#: Seconds for requests in flight to return and be stored; with the polling interval less than two seconds.
GRACE_S = 1.0
_SHELLS = {"sh", "dash", "bash", "zsh", "fish", "ksh", "busybox"}


@contextmanager
def graceful_interrupt(stop: Callable[[BaseException], None]) -> Iterator[None]:
    """Let the first Ctrl-C call ``stop`` and wait for the requests in flight; a second one interrupts at once.

    An ordinary interrupt can strike between a reply and its storing, and that reply was paid for. Nothing changes
    outside the main thread, which alone may handle signals, and where interrupts are ignored.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        stop(KeyboardInterrupt())
        warn("interrupted: waiting for the requests in flight; press Ctrl-C once more to leave at once")

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_with_parent(stop: Callable[[BaseException], None], close: Callable[[], None]) -> Iterator[None]:
    """End this process when its parent process dies while the block runs.

    Terminating ``dvc`` leaves its stages running, and no one uses what they still buy. The watcher calls ``stop``
    with a ``SystemExit`` at once, ``close`` a second later, and then exits with 143 whatever the process is doing.
    """
    parents, done = _parents(), threading.Event()

    def watch() -> None:
        while not done.wait(POLL_S):
            if _parents() != parents:
                stop(SystemExit(EXIT_CODE))
                done.wait(GRACE_S)
                close()
                os._exit(EXIT_CODE)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def _parents() -> tuple[int, int | None]:
    """The parent process, and where that is the shell in which DVC runs a stage, the process above it."""
    parent = os.getppid()
    return parent, _above_shell(parent) if "DVC_ROOT" in os.environ else None


def _above_shell(process: int) -> int | None:
    # bash and zsh replace themselves by the command; dash stays, and outlives dvc. Only under DVC: a user's own
    # shell may close its terminal and leave a stage running on purpose.
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return int(rest.split()[1]) if name in _SHELLS else None
