"""What a training will take of memory, told before it starts."""

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
from lecdsr.train.step import Steps
from lecdsr.train.trainer import VALIDATION_BATCH

# Samples of which activations are measured before a whole batch is dared.
_PROBE = 32
#: Share of the free memory that an estimate may take: over an epoch the heap grew to 1.7 times it (docs/scale.md).
ROOM = 0.6


@dataclass(frozen=True)
class Footprint:
    """Bytes by what they are for; ``process`` is what this one held at most before."""

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
        """All of them; a step, a validation and the writing of a checkpoint are never at work together."""
        held = self.process + self.weights + self.gradients_and_optimiser + self.best_copy + self.vectors
        return held + max(self.activations, self.validation, self.checkpoint)

    def __str__(self) -> str:
        parts = {field.name.replace("_", " "): getattr(self, field.name) for field in dataclasses.fields(self)}
        return ", ".join(f"{name} {size / 1e9:.2g}" for name, size in parts.items()) + " GB"


def tables_footprint(
    model: str, settings: Any, info: DatasetInfo, shared: SharedSettings, device: torch.device
) -> Footprint:
    """What is held whatever the batch: counted on a model without memory of its own."""
    # The number of rows of the vectors decides nothing but their own size.
    items, users = (None if v is None else v[:2] for v in (info.item_vectors, info.user_vectors))
    with torch.device("meta"):
        few = dataclasses.replace(info, item_vectors=items, user_vectors=users)
        shell = build(model, settings, few, shared.seed)
    weights = sum(parameter.numel() * 4 for parameter in shell.parameters())
    vectors = [v for v in (info.item_vectors, info.user_vectors) if v is not None]
    # On a CPU the vectors are here already; on a GPU they are copied.
    copied = sum(v.numel() * 4 for v in vectors) if device.type == "cuda" else 0
    scores = VALIDATION_BATCH * max(info.n_x, info.n_y) * 4
    return Footprint(
        process=0 if device.type == "cuda" else peak_memory(),
        weights=weights,
        gradients_and_optimiser=3 * weights,  # a gradient and two moments
        best_copy=weights,
        vectors=copied,
        activations=0,
        validation=2 * scores,  # and what they are compared with
        checkpoint=0 if device.type == "cuda" else 4 * weights,  # weights, best and moments as bytes, on their way out
    )


def activations(steps: Steps) -> int:
    """Bytes that a step holds for its backward pass, measured on a few samples and scaled to a batch."""
    size = min(steps.batch_size, len(steps.samples))
    few = min(_PROBE, size)
    chosen = steps.samples.take(torch.arange(few, device=steps.device))
    batch = steps.gatherer.sequences(chosen) if steps.by_window else steps.gatherer.prefixes(chosen)
    state = steps.draws.generator.get_state()
    with _restored(steps.model), _counted(steps.model) as held:
        steps.draws.share(slice(None), few)
        steps.model.compute_loss(batch, steps.draws)
    steps.draws.generator.set_state(state)
    # Backward makes a gradient of nearly all that forward held, and what is freed is not all at once reused.
    return int(sum(held.values()) * 2 * size / few / steps.context.size)


def check_room(footprint: Footprint, model: str, device: torch.device, processes: int) -> None:
    """Refuse a training that does not fit.

    Raises:
        UserError: it needs more memory than there is.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory() // processes
    if footprint.total - footprint.process <= ROOM * free:
        return
    tables = footprint.weights + footprint.gradients_and_optimiser + footprint.best_copy
    large = tables > footprint.activations
    advice = (
        f"lower train.{model}.width, raise sequences.min_item, or use a machine with more memory; see docs/scale.md"
        if large
        else f"lower train.{model}.batch_size or history_length; see docs/scale.md"
    )
    raise UserError(
        f"training needs about {footprint.total / 1e9:.1f} GB of memory on {device.type}, and {free / 1e9:.1f} GB "
        f"are free beside what it holds ({footprint})",
        where=f"train.{model}",
        do=advice,
    )


@contextmanager
def _counted(model: Recommender) -> Iterator[dict[int, int]]:
    """Bytes of every storage that is saved for a backward pass in this block, weights and data left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield held


@contextmanager
def _restored(model: Recommender) -> Iterator[None]:
    """Leave the sources of randomness and the mode of the model as they were."""
    training = model.training
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        model.train()
        yield
    model.train(training)
