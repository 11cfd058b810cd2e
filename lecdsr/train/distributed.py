"""Distributed training: the processes that ``torchrun`` started together; usually a single one."""

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
    """Distributed context: this process among those that train together.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the main process (rank 0), the only one that prints and writes files."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's share of ``count`` elements; shares differ by at most one and can be empty."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes; all of them must call this."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def gather(self, row: Tensor) -> Tensor:
        """Return the rows of all processes, ``[size, …]``; all of them must call this."""
        if self.size == 1:
            return row.unsqueeze(0)
        rows = [torch.empty_like(row) for _ in range(self.size)]
        dist.all_gather(rows, row.contiguous())
        return torch.stack(rows)


@contextmanager
def join_processes(device: torch.device) -> Iterator[tuple[DistributedContext, torch.device]]:
    """Connect this process to those that ``torchrun`` started with it; yield its context and device.

    ``torchrun`` sets ``WORLD_SIZE``, ``RANK`` and ``LOCAL_RANK``; without them this process trains alone. Processes
    communicate through gloo on CPUs and through NCCL on GPUs.

    Args:
        device: type of device; on GPUs each process gets the one of its local rank.

    Raises:
        UserError: there are more processes than GPUs, or the processes cannot connect.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield DistributedContext(), device
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise UserError(
                f"there is no GPU for process {local} of this machine, which has {torch.cuda.device_count()}",
                where="torchrun --nproc-per-node",
                do="set it to the number of GPUs or fewer",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes cannot connect: {error}",
            where="torchrun",
            do="check that --rdzv-endpoint names a host and a free port that every machine can reach",
        ) from error
    try:
        yield DistributedContext(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
