"""Choose the device to compute on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from lecdsr.core.errors import UserError


def choose_device(wanted: str = "auto", where: str = "train.shared.device") -> torch.device:
    """Choose the device: ``auto`` is CUDA if available, else the CPU.

    Args:
        wanted: ``auto``, ``cpu`` or ``cuda``.
        where: the setting or option that says so, for the message.

    Raises:
        UserError: CUDA is requested but not available.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device is available", where=where, do="set it to auto or cpu", code="no-device")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def processor_name(device: torch.device) -> str:
    """Return the name of what a device computes on, for example ``NVIDIA H200`` or the model name of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [
        value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == "model name"
    ]
    return next(iter(names), "") or platform.processor() or platform.machine()


def has_tf32(device: torch.device) -> bool:
    """Whether the device multiplies float32 matrices as TF32: an NVIDIA GPU of compute capability 8.0 or later."""
    return device.type == "cuda" and bool(torch.cuda.get_device_properties(device).major >= 8)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware; emulation is much slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # PyTorch makes the same check before it passes a matrix product to oneDNN.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
