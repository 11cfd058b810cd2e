"""Switch the pretended GPU on and off: PyTorch's functions for devices, generators and pinned memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests.cuda.pretended import CUDA, Cuda, DeviceError, Mode, syncs, where

#: Bytes of a state of a CUDA generator: seed and offset of Philox, where a CPU's has 5,056 bytes.
STATE = 16
MEMORY = 80 * 10**9
_Generator = torch.Generator
_RANDOM = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial")


class Generator:
    """A generator of the CPU that says it is of ``cuda``, and whose state has the size of one there."""

    def __init__(self, device="cpu"):
        self.real, self.pretended = _Generator(), torch.device(device).type == "cuda"

    def manual_seed(self, seed):
        self.real.manual_seed(seed)
        return self

    @property
    def device(self):
        return CUDA if self.pretended else torch.device("cpu")

    def get_state(self):
        if not self.pretended:
            return self.real.get_state()
        # The first number identifies the state, which is kept here; real ones fit into 16 bytes.
        key = len(_kept)
        _kept.append(self.real.get_state())
        return torch.tensor([key, 0], dtype=torch.int64).view(torch.uint8)

    def set_state(self, state):
        if isinstance(state, Cuda):
            raise DeviceError("the RNG state must be a torch.ByteTensor on the CPU")
        if len(state) != (STATE if self.pretended else len(self.real.get_state())):
            raise RuntimeError(f"RNG state is wrong size ({len(state)})")
        self.real.set_state(_kept[int(state.clone().view(torch.int64)[0])] if self.pretended else state.clone())


_kept: list[torch.Tensor] = []


def _set_rng_state(state, device="cuda"):
    if isinstance(state, Cuda) or len(state) != STATE:
        raise RuntimeError("RNG state is wrong size")


def _guarded(name):
    plain = getattr(torch, name)

    @functools.wraps(plain)
    def drawn(*args, **kwargs):
        generator = kwargs.get("generator")
        if generator is not None:
            wanted = torch.device(kwargs.get("device") or "cpu").type
            mine = "cuda" if getattr(generator, "pretended", False) else "cpu"
            if mine != wanted:
                raise DeviceError(f"{name}: expected a generator of {wanted}, found one of {mine}, at {where()}")
            kwargs["generator"] = getattr(generator, "real", generator)
        return plain(*args, **kwargs)

    return drawn


def _pin_memory(self, device=None):
    copied = self.clone()
    copied.pretended_pinned = True
    return copied


@functools.cache
def load_guard() -> None:
    """Compile and load ``guard.cpp``, once for each version of PyTorch; skip the test where that is impossible."""
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch is built for CUDA: the pretended device would meet the real one")
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler for the device guard of tests/cuda/guard.cpp")
    built = Path(tempfile.gettempdir()) / f"lecdsr-guard-{torch.__version__}-{os.getuid()}.so"
    if not built.exists():
        root = Path(torch.__file__).parent
        includes = [f"-I{root}/include", f"-I{root}/include/torch/csrc/api/include"]
        part = built.with_suffix(f".{os.getpid()}")
        source = Path(__file__).with_name("guard.cpp")
        command = [compiler, "-shared", "-fPIC", "-std=c++20", "-O0", *includes, str(source), "-o", str(part)]
        subprocess.run([*command, f"-L{root}/lib", "-lc10"], check=True)
        part.replace(built)
    ctypes.CDLL(str(built))


@contextlib.contextmanager
def pretended_cuda() -> Iterator[None]:
    """Let PyTorch believe that there is one GPU, and count from zero how often the host waits for it."""
    load_guard()
    properties = mock.Mock(total_memory=MEMORY, major=9, minor=0)
    functions = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda including_emulation=True: True,
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "get_device_properties": lambda device=None: properties,
        "get_rng_state": lambda device="cuda": torch.arange(STATE, dtype=torch.uint8),
        "set_rng_state": _set_rng_state,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "synchronize": lambda device=None: None,
    }
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    lift = torch._C._only_lift_cpu_tensors()
    syncs.clear()
    with contextlib.ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        for name in _RANDOM:
            stack.enter_context(mock.patch.object(torch, name, _guarded(name)))
        stack.enter_context(mock.patch.object(torch, "Generator", Generator))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", _pin_memory))
        stack.enter_context(
            mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", return_value=False)
        )
        stack.callback(torch._C._set_only_lift_cpu_tensors, lift)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(Mode())
        yield
