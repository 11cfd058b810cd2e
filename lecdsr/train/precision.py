"""Arithmetic of training: bfloat16 where the device has it."""

from __future__ import annotations

import torch

from lecdsr.train.settings import SharedSettings


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16; others fall back on loops many times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # What PyTorch itself asks before it leaves a product to oneDNN.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def at_hand(shared: SharedSettings, device: torch.device) -> SharedSettings:
    """The settings, with float32 for a bfloat16 that the device lacks: it is asked for to save time."""
    if shared.precision == "float32" or has_bfloat16(device):
        return shared
    return shared.model_copy(update={"precision": "float32"})
