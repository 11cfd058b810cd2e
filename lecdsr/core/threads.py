"""Set how the threads of PyTorch wait, before PyTorch is loaded."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Let OpenMP threads sleep while they wait, unless ``OMP_WAIT_POLICY`` says otherwise.

    Threads that spin while they wait make training 20 times slower on a machine that is also doing other work; threads
    that sleep make it a fifth slower on an idle one. OpenMP reads the variable when PyTorch is loaded, so every entry
    point calls this before it imports PyTorch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
