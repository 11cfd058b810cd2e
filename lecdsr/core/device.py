"""Where to compute."""

from __future__ import annotations

import torch

from lecdsr.core.errors import UserError


def choose_device(wanted: str = "auto") -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: CUDA is demanded and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device here", where="train.shared.device", do="set it to auto or cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
