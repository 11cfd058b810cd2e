"""Training with ``train.shared.tables: sharded``: spread item tables over processes, rank with them, gather them.

The rest of the model is replicated and data-parallel. A sharded weight is a ``DTensor``, so its gradient, its moments
of AdamW and the copy of the best weights are sharded too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from lecdsr.core.errors import UserError
from lecdsr.data.batch import Gatherer
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.ranks import batches_by_domain, history_places
from lecdsr.models.base import Recommender
from lecdsr.models.layers.sharded import ShardedEmbedding, own_rows
from lecdsr.train.distributed import DistributedContext

#: Bytes of each process's rows that are gathered at once, so that no device needs room for a whole table.
_PIECE = 1 << 26


def is_sharded(value: Any) -> bool:
    """Whether this is a ``DTensor``; its module takes a second to import and is only needed with sharded tables."""
    return isinstance(value, Tensor) and hasattr(value, "to_local")


def local_rows(value: Tensor) -> Tensor:
    """Return the rows of a sharded tensor that are in this process; another tensor as it is."""
    if not is_sharded(value):
        return value
    with torch.no_grad():
        rows: Tensor = cast(Any, value).to_local()
    return rows


def has_shards(model: Recommender) -> bool:
    """Whether the model's tables are spread over processes."""
    return any(isinstance(part, ShardedEmbedding) for part in model.modules())


def weights_to_shard(model: Recommender) -> list[Tensor]:
    """Return the tables of a model that can be sharded.

    Raises:
        UserError: there are none.
    """
    names = model.sharded_tables()
    if not names:
        raise UserError(
            f"{type(model).__name__} reads whole tables, which cannot be sharded over processes",
            where="train.shared.tables",
            do="set it to dense, or train tandem or sasrec",
        )
    return [cast(nn.Embedding, model.get_submodule(name)).weight for name in names]


def shard_tables(model: Recommender, context: DistributedContext, device: torch.device) -> None:
    """Keep only this process's rows of the item tables, on ``device``; a process alone keeps all.

    Args:
        model: as built, with the same weights in all processes; changed in place.
        context: the processes that train together.
        device: where it will train.

    Raises:
        UserError: the model's tables cannot be sharded.
    """
    if model.objective == "counts":
        return
    weights_to_shard(model)
    if context.size == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    mesh = init_device_mesh(device.type, (context.size,))
    for name in model.sharded_tables():
        table = cast(nn.Embedding, model.get_submodule(name))
        whole = table.weight.detach()
        each = -(-len(whole) // context.size)
        own = whole[context.rank * each : (context.rank + 1) * each].to(device, copy=True)
        weight = DTensor.from_local(own, mesh, [Shard(0)], run_check=False, shape=whole.shape, stride=whole.stride())
        sharded = ShardedEmbedding(weight, table.padding_idx)
        sharded.register_load_state_dict_pre_hook(_load_own_rows)  # type: ignore[no-untyped-call]
        model.set_submodule(name, sharded)


def _load_own_rows(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take the own rows of a whole table when a model with sharded tables is loaded."""
    name = f"{prefix}weight"
    if name in state:
        state[name] = shard_like(cast(ShardedEmbedding, module).weight, state[name])


def shard_like(like: Any, value: Any) -> Any:
    """Shard whole tensors, in nested dictionaries too, wherever ``like`` is sharded; anything else stays as it is."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {name: shard_like(like.get(name), part) for name, part in value.items()}
    if not is_sharded(like) or is_sharded(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor

    each = -(-len(value) // like.device_mesh.size())
    first = like.device_mesh.get_local_rank() * each
    own = value[first : first + each].to(like.device, copy=True)
    return DTensor.from_local(
        own, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def gather_tables(state: Any, everywhere: bool = False) -> Any:
    """Replace the sharded tensors of nested dictionaries by whole ones on the CPU; all processes must call this.

    Args:
        state: what to gather.
        everywhere: whether all processes get the whole tensors, or the main process alone and the others no rows.
    """
    if isinstance(state, dict):
        return {name: gather_tables(value, everywhere) for name, value in state.items()}
    return _gather(state, everywhere) if is_sharded(state) else state


def gather_model(model: Recommender) -> None:
    """Undo :func:`shard_tables`: the model ends on the CPU, with whole tables in every process."""
    for name in model.sharded_tables():
        table = cast(nn.Embedding, model.get_submodule(name))
        weight = gather_tables(table.weight.detach(), everywhere=True)
        rows, width = weight.shape
        model.set_submodule(name, nn.Embedding(rows, width, table.padding_idx, _weight=weight))
    model.cpu()


def _gather(table: Any, everywhere: bool) -> Tensor:
    own = local_rows(table).detach()
    size, rank = dist.get_world_size(), dist.get_rank()
    each = -(-len(table) // size)
    keep = everywhere or rank == 0
    whole = torch.empty((len(table) if keep else 0, *table.shape[1:]), dtype=table.dtype)
    step = max(1, _PIECE // max(1, own[:1].nbytes))
    for first in range(0, each, step):
        piece = own.new_zeros((min(step, each - first), *own.shape[1:]))
        mine = own[first : first + step]
        piece[: len(mine)] = mine
        found = [torch.empty_like(piece) for _ in range(size)] if keep else None
        if everywhere:
            dist.all_gather(found, piece)
        else:
            dist.gather(piece, found, dst=0)
        for owner, rows in enumerate(found or ()):
            begin, end = owner * each + first, min(owner * each + first + len(piece), (owner + 1) * each, len(whole))
            whole[begin : max(begin, end)] = rows[: max(0, end - begin)].cpu()
    return whole


@torch.no_grad()
def rank_by_shards(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    length: int,
    batch_size: int,
    device: torch.device,
    context: DistributedContext,
) -> NDArray[np.float32]:
    """Rank the target of every window by full ranking, each process against its own items.

    A rank is 1 + items scored higher + half of those scored the same, so the processes' counts add up to it. All
    processes must call this; each encodes its share of a batch of histories.

    Args:
        model: a model with sharded tables; put into evaluation mode here.
        sequences: windows of validation.
        info: sizes of the data set.
        length: items of history that the model reads.
        batch_size: targets scored at once.
        device: where to compute.
        context: the processes that train together.

    Returns:
        ``[W]`` ranks, the same in all processes.

    Raises:
        UserError: a score is NaN.
    """
    model.eval()
    gatherer = Gatherer(sequences, length, info.n_x, info.padding, device)
    encode, ranks = model.query_encoder(), np.zeros(len(sequences), np.float32)
    rerank = model.rerank_term()
    owned = [_own_items(model, info.items_of(domain)) for domain in (0, 1)]
    towers = [model.keys_of(own) for own in owned]
    for domain, windows in batches_by_domain(sequences, info, batch_size):
        (keys, bias), mine = towers[domain], context.share(len(windows))
        chosen = sequences.take(windows)
        histories = replace(gatherer.histories(chosen.user, chosen.start, chosen.end - 1), domain=domain)
        found = encode(histories.rows(mine))
        queries = found.new_zeros(len(windows), found.shape[1])  # [B, d]
        queries[mine] = found
        scores = torch.addmm(bias, context.sum(queries), keys.T)  # [B, n]
        if rerank is not None:
            scores = scores + rerank(histories, owned[domain])
        ranks[windows] = _rank(scores, chosen, owned[domain], context).cpu().numpy()
    return ranks


def _own_items(model: Recommender, items: slice) -> slice:
    own = own_rows(cast(nn.Embedding, model.get_submodule(model.sharded_tables()[0])), items)
    assert own is not None
    return own


def _rank(scores: Tensor, chosen: Sequences, own: slice, context: DistributedContext) -> Tensor:
    """``[B]`` ranks of targets by the scores ``[B, n]`` of this process's items and those of the others."""
    target = torch.from_numpy(chosen.target).to(scores.device)
    kept = ((target >= own.start) & (target < own.stop)).nonzero().flatten()  # targets that are own items
    column = target[kept] - own.start
    score = scores.new_zeros(len(target))
    score[kept] = scores[kept, column]
    score = context.sum(score).unsqueeze(1)  # of every target; zero in all processes but its owner
    nan = torch.isnan(scores).any(dim=1)
    scores[history_places(chosen, own, scores.device)] = float("-inf")
    scores[kept, column] = score[kept, 0]
    greater, equal = (scores > score).sum(dim=1), (scores == score).sum(dim=1)
    higher, same, wrong = context.sum(torch.stack([greater, equal, nan.long()]))
    if wrong.any():
        raise UserError("the model gives NaN as a score", do="lower its learning rate and train it again")
    ranks: Tensor = 1 + higher + (same - 1).float() / 2  # the target itself is one of those scored the same
    return ranks
