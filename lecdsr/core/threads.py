"""How the threads of PyTorch wait, decided before it is loaded."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Let OpenMP threads sleep while they wait, unless ``OMP_WAIT_POLICY`` says otherwise.

    Threads that spin while they wait make training twenty times slower on a machine that does something else besides;
    threads that sleep cost a fifth where it does not. OpenMP reads the variable when PyTorch is loaded, so each way
    into the program calls this before it imports PyTorch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
