"""Memory of this process and of this machine."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")


def peak_memory() -> int:
    """Most bytes that this process has held at once.

    Linux hands a parent's peak in ``ru_maxrss`` on to a child, so the kernel's figure of the process
    itself comes first.
    """
    held = _kilobytes(_STATUS, "VmHWM:")
    if held is not None:
        return held * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory() -> int:
    """Bytes that a process could still take on this machine without swapping; all of them where nobody can tell."""
    free = _kilobytes(_MEMINFO, "MemAvailable:")
    return free * 1024 if free is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
