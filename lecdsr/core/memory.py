"""Memory of this process and machine, and the allocation behaviour of the C library."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")
# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
#: Seconds between two looks at the memory of a process whose heap keeps freed memory.
LOOK_EVERY_S = 1.0
#: Looks after a release in which the memory returns to what the work needs, and growth over that until the next one.
SETTLING, ALLOWED_GROWTH = 3, 1.15


def peak_memory() -> int:
    """Return the peak memory of this process in bytes.

    On Linux a child inherits its parent's peak in ``ru_maxrss``, so the kernel's own figure is preferred there.
    """
    held = _kilobytes(_STATUS, "VmHWM:")
    if held is not None:
        return held * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_memory() -> int:
    """Return the memory that this process occupies now, in bytes; the peak where the kernel does not tell."""
    held = _kilobytes(_STATUS, "VmRSS:")
    return peak_memory() if held is None else held * 1024


def free_memory() -> int:
    """Return the bytes available without swapping; the total memory if that is unknown."""
    free = _kilobytes(_MEMINFO, "MemAvailable:")
    return free * 1024 if free is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)


def keep_freed_memory() -> None:
    """Let glibc serve large arrays from a heap that never shrinks; do nothing on other systems.

    A training step allocates and frees a hundred arrays of 30 MB. By default glibc returns each of them to the kernel,
    which zeroes every page again when it is next used: more work than the arithmetic that fills the arrays
    (``benchmarks/training.py``). Use it in processes that allocate the same sizes repeatedly and end soon after.

    A freed place often does not fit the next aligned array of the same size, so the heap would grow with every step.
    A thread releases freed memory whenever the process has grown by 15 % since the last time.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return
    # PyTorch reads this variable at its first allocation.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
    _start_releasing()


@cache
def _start_releasing() -> None:
    """Start the thread, once in a process."""
    threading.Thread(target=_release_after_growth, name="release-freed-memory", daemon=True).start()


def _release_after_growth() -> None:
    while True:
        needed = max([_look() for _ in range(SETTLING)])
        while _look() <= ALLOWED_GROWTH * needed:
            pass
        release_freed_memory()


def _look() -> int:
    """Wait, and return the memory that this process occupies then."""
    threading.Event().wait(LOOK_EVERY_S)
    return resident_memory()


def release_freed_memory() -> None:
    """Return whole pages of freed memory to the kernel once, after all; do nothing on systems without glibc.

    Work of another kind leaves holes in the heap that the next kind does not fit into, because small arrays that stay
    lie in them. Every validation of a training raised its peak this way.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """A function of the C library, ``None`` if it is not glibc."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
