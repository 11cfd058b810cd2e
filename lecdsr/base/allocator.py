"""Memory that was freed stays with the process, in large pages.

A training step makes and drops a hundred arrays of thirty megabytes. glibc hands each of them back to the kernel,
which then zeroes every page anew at its next first touch: more work than the arithmetic that fills them
(``benchmarks/training.py``, docs/log.md).
"""

from __future__ import annotations

import ctypes
import os
import sys

# Of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let glibc serve large arrays from a heap that never shrinks; elsewhere do nothing.

    For processes that allocate the same sizes again and again, and end soon after.
    """
    if not sys.platform.startswith("linux"):
        return
    # Read by PyTorch at its first allocation.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
