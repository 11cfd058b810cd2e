"""Choose the device to compute on."""

from __future__ import annotations

import torch

from lecdsr.core.errors import UserError


def choose_device(wanted: str = "auto") -> torch.device:
    """Choose the device: ``auto`` is CUDA if available, else the CPU.

    Raises:
        UserError: CUDA is requested but not available.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "no CUDA device is available", where="train.shared.device", do="set it to auto or cpu", code="no-device"
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware; emulation is much slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # PyTorch makes the same check before it passes a matrix product to oneDNN.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
