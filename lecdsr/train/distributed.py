"""Distributed training: the processes that ``torchrun`` started together; usually a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from lecdsr.core.errors import UserError

#: How long a process waits for another, which may be writing a checkpoint, before it gives up.
TIMEOUT = timedelta(minutes=10)


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

    def concatenate(self, values: Tensor) -> Tensor:
        """Return the ``[m]`` values of all processes, one after another; m may differ, and all must call this."""
        if self.size == 1:
            return values
        counts = self.gather(torch.tensor([len(values)], device=values.device)).flatten().tolist()
        rows = self.gather(torch.nn.functional.pad(values, (0, max(counts) - len(values))))
        return torch.cat([row[:count] for row, count in zip(rows, counts, strict=True)])


@contextmanager
def join_processes(device: torch.device) -> Iterator[tuple[DistributedContext, torch.device]]:
    """Connect this process to those that ``torchrun`` started with it; yield its context and device.

    ``torchrun`` sets ``WORLD_SIZE``, ``RANK`` and ``LOCAL_RANK``; without them this process trains alone. Processes
    communicate through gloo on CPUs and through NCCL on GPUs. A process that loses another one in the block ends with
    a message: at once if the other has died, after :data:`TIMEOUT` if it has stopped answering.

    Args:
        device: type of device; on GPUs each process gets the one of its local rank.

    Raises:
        UserError: there are more processes than GPUs, the processes cannot connect, or one is lost.
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
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes cannot connect: {error}",
            where="torchrun",
            do="check that --rdzv-endpoint names a host and a free port that every machine can reach",
        ) from error
    try:
        yield DistributedContext(dist.get_rank(), dist.get_world_size()), device
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise UserError(
            f"another process of this training ended or stopped answering ({str(error).splitlines()[0][:200]})",
            where=f"process {dist.get_rank()} of {size}",
            do="read what the other processes printed, then start all of them again: they resume from the checkpoint",
        ) from error
    finally:
        dist.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Whether an error is of the communication between processes; gloo's are told by the file they come from."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)
