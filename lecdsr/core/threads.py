"""Environment variables that libraries read when PyTorch is loaded or first uses a GPU."""

from __future__ import annotations

import os


def prepare_environment() -> None:
    """Set what must be decided before PyTorch is loaded; each way into the program calls this first.

    A variable that is set already is left as it is.
    """
    # Threads that spin while they wait make training twenty times slower on a machine that does something else
    # besides; threads that sleep cost a fifth where it does not.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Without a fixed workspace cuBLAS may add up in another order from run to run, so a seed would not fix the result.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
