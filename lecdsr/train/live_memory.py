"""Peak memory of a piece of work: tensors that live at the same time on a CPU, what was allocated on a GPU."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lecdsr.models.layers import sharded, softmax
from lecdsr.train.sharded import local_rows

#: Tensors that a softmax in blocks makes to keep; its others are counted by :attr:`LiveMemory.block`.
_KEPT = ("empty_like", "zeros_like", "new_zeros")


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every storage that operations in this block allocate, until it is freed.

    Args:
        known: tensors whose storages are not counted.

    Attributes:
        moments: bytes that lived after each allocation, without blocks of the softmax over all items.
        inside: bytes that operations on a GPU needed beyond the largest moment.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moments: list[int] = []
        self.inside = self._now = 0
        self._blocks: set[tuple[int, int, int]] = set()
        self._seen = {local_rows(tensor).untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self._in_softmax_block() and func._schema.name.split("::")[1] not in _KEPT:
            return out
        for tensor in _tensors(out):
            self._follow(tensor)
        return out

    @property
    def peak(self) -> int:
        """Largest number of bytes that lived at the same time."""
        return max(self.moments, default=0) + self.inside

    def block(self, device: torch.device, scale: float) -> int:
        """Return the bytes of the largest block of the softmax in a batch that is ``scale`` times as large.

        A block has as many rows as :func:`~lecdsr.models.layers.softmax.block_rows` allows, if there are that many.
        """
        sizes = [0]
        for queries, keys, width in self._blocks:
            rows = min(softmax.block_rows(keys, device), math.ceil(queries * scale))
            # Scores and their shares in the gradient, and the block's part of the gradient of the keys.
            sizes.append(4 * (2 * rows * keys + keys * width))
        return max(sizes)

    def _follow(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = local_rows(tensor).untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self._now += size
        self.moments.append(self._now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._now -= size

    def _in_softmax_block(self) -> bool:
        frame = sys._getframe(2)
        for _ in range(4):
            if frame.f_code in _BLOCKS:
                known = frame.f_locals
                keys = known["keys"] if "keys" in known else known["self"].keys
                queries = known["queries"] if "queries" in known else known["self"].everyone.queries
                self._blocks.add((len(queries), len(keys), keys.shape[1]))
                return True
            if frame.f_back is None:
                break
            frame = frame.f_back
        return False


_BLOCKS = (
    softmax._blocks.__code__,
    sharded._Blocks.statistics.__code__,
    sharded._Blocks.gradients.__code__,
)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _tensors(one)


def peak_of(work: Callable[[], object], known: Iterable[Tensor], device: torch.device) -> LiveMemory:
    """Run ``work`` and return what lived at the same time, beside the tensors that are ``known``.

    On a GPU the allocator counts what operations need inside as well, such as the workspace of a matrix product.
    """
    found, counted = LiveMemory(known), device.type == "cuda" and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    before = 0
    if counted:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    with found:
        work()
    if counted:
        allocated = torch.cuda.max_memory_allocated(device) - before
        found.inside = max(0, allocated - found.block(device, 1.0) - found.peak)
    return found


def extended_peak(measured: Mapping[int, LiveMemory], count: int) -> float:
    """Return the peak in bytes of work on ``count`` samples, from the same work on fewer.

    What lives at a moment grows linearly with the samples, so every moment is extended, and then the largest counts:
    in small batches the tables and gradients of one moment hide the activations of another.

    Args:
        measured: what lived, by number of samples; one or two numbers.
        count: number of samples.
    """
    (small, few), (large, many) = min(measured.items()), max(measured.items())
    if len(few.moments) == len(many.moments):
        before, after = (np.asarray([*one.moments, 0], float) for one in (few, many))
    else:
        before, after = (np.asarray([one.peak - one.inside], float) for one in (few, many))
    grown = (count - large) / max(1, large - small)
    inside = many.inside + grown * max(0, many.inside - few.inside)
    return float((after + grown * np.maximum(0, after - before)).max()) + inside
