"""The processes that train together, as ``torchrun`` starts them; usually one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from lecdsr.core.errors import UserError


@dataclass(frozen=True)
class DistributedContext:
    """This process among ``size``; the one of rank 0 speaks and writes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of ``count`` things in order; parts differ by one at most and may be empty."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in every one of them."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def gather(self, row: Tensor) -> Tensor:
        """``[size, …]``: the row of every process, in every one of them."""
        if self.size == 1:
            return row.unsqueeze(0)
        rows = [torch.empty_like(row) for _ in range(self.size)]
        dist.all_gather(rows, row.contiguous())
        return torch.stack(rows)


@contextmanager
def join_processes(device: torch.device) -> Iterator[tuple[DistributedContext, torch.device]]:
    """The world that the environment describes, and this process's device in it.

    ``torchrun`` sets ``WORLD_SIZE``, ``RANK`` and ``LOCAL_RANK``. On a CPU processes talk through gloo, on GPUs
    through NCCL.

    Raises:
        UserError: the environment describes a world that cannot be joined.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield DistributedContext(), device
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} of this machine has no GPU; there are {torch.cuda.device_count()}",
                where="torchrun --nproc-per-node",
                do="start as many processes as there are GPUs",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes cannot find each other: {error}", where="torchrun") from error
    try:
        yield DistributedContext(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
