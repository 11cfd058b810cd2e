"""Estimate the memory of a training before it starts, and refuse one that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lecdsr.core.errors import UserError
from lecdsr.core.memory import free_memory, peak_memory
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Recommender
from lecdsr.models.saved import build
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import local_rows, weights_to_shard
from lecdsr.train.step import Steps
from lecdsr.train.validator import validation_batch

# Samples that activations are measured on, since a whole batch might not fit.
_MEASURED_SAMPLES = 32
#: Share of the free memory that an estimate may use: over an epoch the heap grew to 1.7 times it (docs/scale.md).
USABLE_SHARE = 0.6


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training needs, by purpose.

    Args:
        process: peak memory of this process so far, libraries and data included; 0 on a GPU.
        weights: weights of the model.
        gradients_and_optimiser: a gradient and two moments of AdamW for each weight.
        best_copy: the weights of the best epoch.
        vectors: copies of the text vectors on a GPU.
        activations: what a step keeps for its backward pass.
        validation: scores of a validation batch.
        checkpoint: copies of weights and moments while a checkpoint is written.
    """

    process: int
    weights: int
    gradients_and_optimiser: int
    best_copy: int
    vectors: int
    activations: int
    validation: int
    checkpoint: int

    @property
    def total(self) -> int:
        """Bytes at the peak; a step, a validation and writing a checkpoint never happen at the same time."""
        permanent = self.process + self.weights + self.gradients_and_optimiser + self.best_copy + self.vectors
        return permanent + max(self.activations, self.validation, self.checkpoint)

    def __str__(self) -> str:
        parts = {field.name.replace("_", " "): getattr(self, field.name) for field in dataclasses.fields(self)}
        return ", ".join(f"{name} {size / 1e9:.2g}" for name, size in parts.items()) + " GB"


def estimate_memory(
    model: str, settings: Any, info: DatasetInfo, shared: SharedSettings, device: torch.device, processes: int = 1
) -> MemoryEstimate:
    """Estimate everything but activations, from a model whose weights take no memory.

    Args:
        model: name of the model.
        settings: its settings.
        info: the data set that it is built for.
        shared: settings of all models.
        device: where it will train.
        processes: processes that sharded tables are spread over.

    Returns:
        An estimate with activations of 0; see :func:`estimate_activations`.
    """
    # Two vectors are enough: how many there are changes nothing but the size of their own table.
    items, users = (None if v is None else v[:2] for v in (info.item_vectors, info.user_vectors))
    with torch.device("meta"):
        few = dataclasses.replace(info, item_vectors=items, user_vectors=users)
        shell = build(model, settings, few, shared.seed)
    whole = sum(parameter.numel() * 4 for parameter in shell.parameters())
    tables = weights_to_shard(shell) if shared.tables == "sharded" and shell.objective != "counts" else []
    elsewhere = sum(table.numel() * 4 * (processes - 1) // processes for table in tables)
    weights = whole - elsewhere
    vectors = [v for v in (info.item_vectors, info.user_vectors) if v is not None]
    on_gpu = device.type == "cuda"
    scores = validation_batch(info) * max(info.n_x, info.n_y) * 4
    return MemoryEstimate(
        process=0 if on_gpu else peak_memory(),
        weights=weights,
        gradients_and_optimiser=3 * weights,
        best_copy=weights,
        vectors=sum(v.numel() * 4 for v in vectors) if on_gpu else 0,  # on a CPU they are part of the process
        activations=0,
        validation=2 * scores,  # the scores, and their comparison with the target's
        checkpoint=0 if on_gpu else 4 * whole,  # weights, best copy and two moments as bytes
    )


def estimate_activations(steps: Steps) -> int:
    """Return the bytes that a step keeps for its backward pass, measured on a few samples and scaled to a batch."""
    size = min(steps.batch_size, len(steps.samples))
    few = min(_MEASURED_SAMPLES, size)
    chosen = steps.samples.take(torch.arange(few, device=steps.device))
    batch = steps.gatherer.sequences(chosen) if steps.by_window else steps.gatherer.prefixes(chosen)
    state = steps.draws.generator.get_state()
    with _unchanged(steps.model), _saved_for_backward(steps.model) as sizes:
        steps.draws.share(slice(None), few)
        steps.model.compute_loss(batch, steps.draws)
    steps.draws.generator.set_state(state)
    # Twice, because backward computes a gradient for nearly every activation and frees memory late.
    return int(sum(sizes.values()) * 2 * size / few / steps.context.size)


def check_memory(estimate: MemoryEstimate, model: str, device: torch.device, processes: int) -> None:
    """Refuse a training that does not fit into the free memory.

    Args:
        estimate: what one process needs.
        model: name of the model, for the message.
        device: where it will train.
        processes: processes that share the memory of this machine.

    Raises:
        UserError: it needs more memory than is free.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory() // processes
    if estimate.total - estimate.process <= USABLE_SHARE * free:
        return
    if estimate.weights + estimate.gradients_and_optimiser + estimate.best_copy > estimate.activations:
        advice = f"lower train.{model}.width, raise sequences.min_item, or use a machine with more memory"
    else:
        advice = f"lower train.{model}.batch_size or train.{model}.history_length"
    raise UserError(
        f"training needs about {estimate.total / 1e9:.1f} GB of memory on {device.type}, and {free / 1e9:.1f} GB "
        f"are free beyond what this process already uses ({estimate})",
        where=f"train.{model}",
        do=f"{advice}; see docs/scale.md",
    )


@contextmanager
def _saved_for_backward(model: Recommender) -> Iterator[dict[int, int]]:
    """Record the bytes of every storage that is saved for a backward pass in this block, except the model's own."""
    kept = (local_rows(tensor) for tensor in (*model.parameters(), *model.buffers()))
    own = {tensor.untyped_storage().data_ptr() for tensor in kept}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


@contextmanager
def _unchanged(model: Recommender) -> Iterator[None]:
    """Put a model into training mode, and restore its mode and the random generators afterwards."""
    training = model.training
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        model.train()
        yield
    model.train(training)
