"""A process whose parent is gone stops spending: nobody waits for what it buys."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Exit code of a process ended by SIGTERM, which is what the parent was sent.
EXIT_CODE = 143
POLL_S = 0.25
#: Seconds for requests under way to come back and be stored; with the poll below two seconds.
GRACE_S = 1.0
_SHELLS = {"sh", "dash", "bash", "zsh", "fish", "ksh", "busybox"}


@contextmanager
def watched_parent(stop: Callable[[BaseException], None], close: Callable[[], None]) -> Iterator[None]:
    """End this process when its parent ends, as long as the block runs.

    Terminating ``dvc`` leaves its stages running. The watch calls ``stop`` with a ``SystemExit``
    at once, ``close`` a second later, and then leaves with 143 whatever the process is doing.
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
    """The parent, and where that is the shell in which DVC runs a stage, the process above it."""
    parent = os.getppid()
    return parent, _above_shell(parent) if "DVC_ROOT" in os.environ else None


def _above_shell(process: int) -> int | None:
    # bash and zsh become the command they run; dash stays, and outlives dvc. Only under DVC: a
    # shell of one's own may close its terminal and leave a stage running on purpose.
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return int(rest.split()[1]) if name in _SHELLS else None
