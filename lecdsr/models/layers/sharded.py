"""A table whose rows are spread over the processes that train together, and the softmax over such a table.

Each process keeps a run of consecutive rows. A lookup asks the owners of the rows for them; the softmax over all items
is vocabulary-parallel: every process scores the targets of all processes against its own items. Both exchange gradients
the same way back, so that a step equals that of one process with the whole table, within rounding.

Shape legend: P processes, N rows of the table, d width, M targets of this process, n own items, R ids looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.models.base import LossTerm
from lecdsr.models.layers.softmax import block_rows


class ShardedEmbedding(nn.Embedding):
    """An embedding table of which this process keeps its own rows; every process must take part in a lookup.

    Gradients of the rows are averaged over the processes, as DistributedDataParallel does for all other weights.

    Args:
        weight: ``[N, d]`` a ``DTensor``, sharded by rows in chunks of ``ceil(N / P)``.
        padding: row without a gradient in lookups.
    """

    def __init__(self, weight: Tensor, padding: int | None) -> None:
        rows, width = weight.shape
        super().__init__(rows, width, padding, _weight=weight)

    @property
    def rows(self) -> slice:
        """Rows of this process; can be none."""
        first = min(dist.get_rank() * self.rows_each, self.num_embeddings)
        return slice(first, min(first + self.rows_each, self.num_embeddings))

    @property
    def rows_each(self) -> int:
        """Rows of every process but the last ones, which can have fewer."""
        return -(-self.num_embeddings // dist.get_world_size())

    def own(self, rows: slice) -> Tensor:
        """``[n, d]`` some rows of this process, given by their place in the whole table; nothing is communicated."""
        first = self.rows.start
        return self._local()[rows.start - first : rows.stop - first]

    def forward(self, ids: Tensor) -> Tensor:
        """``[..., d]`` rows of ``ids [...]``, of any process."""
        flat, first = ids.flatten(), self.rows.start
        route = _route(flat, self.rows_each)
        wanted = _exchange(flat[route.order], route.sent, route.received)  # ids that others look up here
        padding = self.padding_idx if self.padding_idx in range(first, self.rows.stop) else None
        found = F.embedding(wanted - first, self._local(), None if padding is None else padding - first)
        rows = cast(Tensor, _Exchange.apply(found, route.received, route.sent))  # type: ignore[no-untyped-call]
        return F.embedding(route.order.argsort(), rows).view(*ids.shape, self.embedding_dim)

    def _local(self) -> Tensor:
        local = cast(Tensor, cast(Any, self.weight).to_local())
        if local.requires_grad:
            processes = dist.get_world_size()
            local.register_hook(lambda gradient: gradient / processes)  # type: ignore[no-untyped-call]
        return local


def own_rows(table: nn.Embedding, items: slice) -> slice | None:
    """Return which of ``items`` this process keeps, possibly none of them; ``None`` if the table is not sharded."""
    if not isinstance(table, ShardedEmbedding):
        return None
    rows = table.rows
    start = min(max(rows.start, items.start), rows.stop)
    return slice(start, max(start, min(rows.stop, items.stop)))


def look_up(table: nn.Embedding, items: Tensor | slice | None) -> Tensor:
    """``[R, d]`` rows of a table.

    Args:
        table: sharded or not.
        items: ``[R]`` ids; or a range of rows, of a sharded table only this process's own; ``None`` is the whole
            table, which must not be sharded.
    """
    if isinstance(items, Tensor):
        return cast(Tensor, table(items))
    if isinstance(table, ShardedEmbedding):
        assert items is not None, "a sharded table cannot be read as a whole"
        return table.own(items)
    return table.weight if items is None else table.weight[items]


class _Route(NamedTuple):
    """Where ids go: their order by owner, how many go to each process and how many come from each."""

    order: Tensor
    sent: list[int]
    received: list[int]


def _route(ids: Tensor, rows_each: int) -> _Route:
    owner = torch.div(ids, rows_each, rounding_mode="floor")
    order = owner.argsort(stable=True)
    bounds = torch.searchsorted(owner[order], torch.arange(dist.get_world_size() + 1, device=ids.device))
    sent = bounds.diff()
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    to_each, from_each = torch.stack([sent, received]).tolist()
    return _Route(order, to_each, from_each)


def _exchange(values: Tensor, sent: list[int], received: list[int]) -> Tensor:
    found = values.new_empty((sum(received), *values.shape[1:]))
    dist.all_to_all_single(found, values.contiguous(), received, sent)
    return found


class _Exchange(torch.autograd.Function):
    """Sends rows to other processes; their gradients come back the same way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        ctx.sent, ctx.received = sent, received
        return _exchange(rows, sent, received)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _exchange(gradient, ctx.received, ctx.sent), None, None


def sharded_softmax_by_domain(queries: Tensor, keys: Tensor, items: slice, target: Tensor, n_x: int) -> LossTerm:
    """Cross-entropy of each target against all items of its own domain, whose keys are spread over the processes.

    Every process must call this. It counts the targets of this process; the gradient of its keys is that of the
    targets of all processes, whose losses must therefore be scaled alike.

    Args:
        queries: ``[M, d]``.
        keys: ``[n, d]`` of this process's items.
        items: ids of these items.
        target: ``[M]`` item ids, of any process's items.
        n_x: items of domain X.
    """
    total = _ShardedSoftmax.apply(queries, keys, target, items, n_x)  # type: ignore[no-untyped-call]
    return LossTerm(cast(Tensor, total), len(target))


class _ShardedSoftmax(torch.autograd.Function):
    """The gradient is computed along with the value, times one; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, target: Tensor, items: slice, n_x: int) -> Tensor:
        device = queries.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else queries.dtype
        with torch.autocast(device, enabled=False):
            everyone = _Targets.gather(queries, target)
            blocks = _Blocks(everyone, keys.to(low), items, n_x)
            log_sum, own = blocks.statistics()
            of_everyone, of_keys = blocks.gradients(log_sum)
            mine = everyone.of_process(dist.get_rank(), len(queries))
            of_queries = _sum_of_parts(of_everyone.to(queries.dtype), everyone.each)
            ctx.save_for_backward(of_queries[: len(queries)], of_keys.to(keys.dtype))
            return (log_sum - own)[mine].sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_queries, of_keys = ctx.saved_tensors
        return gradient * of_queries, gradient * of_keys, None, None, None


class _Targets(NamedTuple):
    """The targets of all processes, those of each filled up to the same number.

    Args:
        queries: ``[P * each, d]``.
        target: ``[P * each]`` item ids; -1 where filled up.
        each: the largest number of targets of a process.
    """

    queries: Tensor
    target: Tensor
    each: int

    @classmethod
    def gather(cls, queries: Tensor, target: Tensor) -> _Targets:
        most = torch.full((1,), len(target), device=target.device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        each, processes = int(most.item()), dist.get_world_size()
        missing = each - len(target)
        padded, ids = F.pad(queries, (0, 0, 0, missing)), F.pad(target, (0, missing), value=-1)
        of_all = [torch.empty_like(padded) for _ in range(processes)], [torch.empty_like(ids) for _ in range(processes)]
        dist.all_gather(of_all[0], padded.contiguous())
        dist.all_gather(of_all[1], ids.contiguous())
        return cls(torch.cat(of_all[0]), torch.cat(of_all[1]), each)

    def of_process(self, rank: int, count: int) -> slice:
        return slice(rank * self.each, rank * self.each + count)


def _sum_of_parts(values: Tensor, each: int) -> Tensor:
    """``[each, d]`` the sum over processes of this process's part of their ``values [P * each, d]``."""
    processes = dist.get_world_size()
    parts = _exchange(values, [each] * processes, [each] * processes)
    return parts.view(processes, each, -1).sum(dim=0)


class _Blocks:
    """Scores of the targets of all processes against this process's items, a block of targets at a time.

    Scores are computed twice, for the sums and for the gradients, because between the two all processes add up their
    sums; so they wait for each other once and not at every block.
    """

    def __init__(self, everyone: _Targets, keys: Tensor, items: slice, n_x: int) -> None:
        self.everyone, self.keys, self.first, self.n_x = everyone, keys, items.start, n_x
        border = min(max(n_x - items.start, 0), len(keys))
        in_x = (everyone.target >= 0) & (everyone.target < n_x)
        in_y = everyone.target >= n_x
        self.parts = [(in_x.nonzero().flatten(), slice(0, border)), (in_y.nonzero().flatten(), slice(border, None))]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """``[P * each]`` log of the sum over all items of the target's domain, and the target's own score."""
        count = len(self.everyone.target)
        sums, own = torch.zeros(2, count, device=self.keys.device)
        largest = torch.full_like(own, float("-inf"))
        for rows, scores, column, kept, _ in self._blocks():
            largest[rows] = scores.amax(dim=1)
            own[rows] = scores.gather(1, column).squeeze(1) * kept.squeeze(1)
            sums[rows] = scores.sub_(largest[rows].unsqueeze(1)).exp_().sum(dim=1)
        peak = largest.clone()
        dist.all_reduce(peak, dist.ReduceOp.MAX)
        peak = peak.masked_fill(self.everyone.target < 0, 0)  # nothing is scored where targets are filled up
        total = torch.stack([sums * (largest - peak).exp(), own])
        dist.all_reduce(total)
        return total[0].log() + peak, total[1]

    def gradients(self, log_sum: Tensor) -> tuple[Tensor, Tensor]:
        """``[P * each, d]`` gradient of all queries through this process's items, and ``[n, d]`` of its keys."""
        of_queries = torch.zeros_like(self.everyone.queries, dtype=torch.float32)
        of_keys = torch.zeros_like(self.keys, dtype=torch.float32)
        for rows, scores, column, kept, columns in self._blocks():
            share = scores.sub_(log_sum[rows].unsqueeze(1)).exp_()
            share.scatter_(1, column, share.gather(1, column) - kept.float())  # the gradient of the scores
            share = share.to(self.keys.dtype)
            of_queries[rows] = (share @ self.keys[columns]).float()
            of_keys[columns] += (share.T @ self.everyone.queries[rows].to(self.keys.dtype)).float()
        return of_queries, of_keys

    def _blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, slice]]:
        """Yield the rows ``[m]`` of a block, its scores ``[m, n]``, and which column is the row's target, if any is.

        The column ``[m, 1]`` of a target that another process keeps is any, and ``kept [m, 1]`` is false.
        """
        for places, columns in self.parts:
            keys = self.keys[columns]
            if not len(keys):
                continue
            for rows in torch.split(places, block_rows(len(keys), keys.device)):
                scores = (self.everyone.queries[rows].to(keys.dtype) @ keys.T).float()
                column = (self.everyone.target[rows] - self.first - columns.start).unsqueeze(1)  # [m, 1]
                kept = (column >= 0) & (column < len(keys))
                yield rows, scores, column.clamp(0, len(keys) - 1), kept, columns
