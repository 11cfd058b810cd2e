"""Estimate the memory of a training before it starts, and refuse one that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lecdsr.core.console import silent
from lecdsr.core.errors import UserError
from lecdsr.core.memory import free_memory, peak_memory, release_freed_memory, resident_memory
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.ranks import rank_targets, ranking_threads
from lecdsr.models.base import Recommender
from lecdsr.models.saved import build
from lecdsr.train.live_memory import LiveMemory, extended_peak, peak_of
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import has_shards, local_rows, weights_to_shard
from lecdsr.train.step import Steps
from lecdsr.train.validator import kept_bytes, validation_batch

# Samples that a step is measured on, since a whole batch might not fit: the difference is what grows with the batch.
_MEASURED_SAMPLES = (8, 32)
#: Growth of a CPU's heap by the arrays of steps or of a validation, relative to those that live at the same time:
#: their sizes vary from batch to batch, so a freed place often does not fit the next array (benchmarks/memory.py).
HEAP_GROWTH = 2.2
#: Share of the free memory that an estimate may use.
USABLE_SHARE = 0.9


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training needs, by purpose.

    Args:
        process: what this process holds already, libraries and data included, without the weights; 0 on a GPU.
        weights: weights of the model.
        gradients_and_optimiser: a gradient and two moments of AdamW for each weight.
        best_copy: the weights of the best epoch.
        vectors: what the GPU holds before the first step beside the weights: text vectors and the users' histories.
        activations: what lives at the same time in a step, beside weights, their gradients and moments.
        validation: what lives at the same time in a validation batch, beside weights.
        checkpoint: copies of weights and moments while a checkpoint is being written.
        rerank_term: what a validation keeps for the next.
        so_far: peak of this process so far; 0 on a GPU.
    """

    process: int
    weights: int
    gradients_and_optimiser: int
    best_copy: int
    vectors: int
    activations: int
    validation: int
    checkpoint: int
    rerank_term: int = 0
    so_far: int = 0

    @property
    def total(self) -> int:
        """Peak in bytes, in the past or to come."""
        return max(self.so_far, self.process + self.needed)

    @property
    def needed(self) -> int:
        """Bytes beyond what the process holds; a step, a validation and a checkpoint never happen at the same time."""
        permanent = self.weights + self.gradients_and_optimiser + self.best_copy + self.vectors + self.rerank_term
        # A better epoch is copied before the weights of the one before it are dropped.
        return permanent + max(self.activations, self.validation, self.checkpoint, self.best_copy)

    def __str__(self) -> str:
        parts = {field.name.replace("_", " "): getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("rerank term", "so far"):
            if not parts[name]:
                del parts[name]
        return ", ".join(f"{name} {size / 1e9:.2g}" for name, size in parts.items()) + " GB"


def estimate_memory(
    model: str, settings: Any, info: DatasetInfo, shared: SharedSettings, device: torch.device, processes: int = 1
) -> MemoryEstimate:
    """Estimate the memory of a training before the weights are allocated.

    Args:
        model: name of the model.
        settings: its settings.
        info: the dataset that it is built for.
        shared: settings of all models.
        device: where it will train.
        processes: processes that sharded tables are spread over.

    Returns:
        An estimate with activations of 0 and a validation of scores alone; :func:`complete_estimate` measures both.
    """
    # Two vectors are enough, because their number only affects the size of their own table.
    items = None if info.item_vectors is None else info.item_vectors[:2]
    profiles = None if info.profiles is None else info.profiles.shell()
    with torch.device("meta"):
        few = dataclasses.replace(info, item_vectors=items, profiles=profiles)
        shell = build(model, _unshuffled(settings), few, shared.seed)
    whole = sum(parameter.numel() * 4 for parameter in shell.parameters())
    tables = weights_to_shard(shell) if shared.tables == "sharded" and shell.objective != "counts" else []
    elsewhere = sum(table.numel() * 4 * (processes - 1) // processes for table in tables)
    weights = whole - elsewhere
    phrases = None if info.profiles is None else info.profiles.vectors
    vectors = [v for v in (info.item_vectors, phrases) if v is not None]
    on_gpu = device.type == "cuda"
    batch = validation_batch(info)
    threads = 1 if tables and processes > 1 else ranking_threads(info, batch, device)
    scores = batch * max(info.n_x, info.n_y) * 4 * threads
    return MemoryEstimate(
        process=0 if on_gpu else resident_memory(),
        weights=weights,
        gradients_and_optimiser=3 * weights,
        best_copy=weights,
        vectors=sum(v.numel() * 4 for v in vectors) if on_gpu else 0,  # on a CPU they are part of the process
        activations=0,
        validation=2 * scores,  # the scores, and their comparison with the target's
        checkpoint=0 if on_gpu else 4 * whole,  # weights, best copy and two moments as bytes
    )


def _unshuffled(settings: Any) -> Any:
    """Replace shuffled texts by the right ones: they have the same sizes, and the device meta cannot draw an order."""
    texts = [name for name in type(settings).model_fields if name.endswith("_text")]
    shuffled = [name for name in texts if getattr(settings, name) == "shuffled"]
    return settings.model_copy(update=dict.fromkeys(shuffled, "vectors"))


def complete_estimate(estimate: MemoryEstimate, steps: Steps, info: DatasetInfo, valid: Sequences) -> MemoryEstimate:
    """Complete an estimate once the model is built, from what the process holds then and what small batches take.

    Args:
        estimate: before the model was built.
        steps: steps of the training, none of them taken yet.
        info: the dataset.
        valid: windows that are ranked after each epoch; none for a training without validation.
    """
    found = dataclasses.replace(estimate, activations=estimate_activations(steps))
    if not has_shards(steps.model):
        kept = kept_bytes(steps.model, info, valid, steps.device)
        found = dataclasses.replace(found, validation=estimate_validation(steps, info, valid), rerank_term=kept)
    if steps.device.type == "cuda":
        return dataclasses.replace(found, vectors=held_on_gpu(steps.model, steps.device))
    # Whatever the model's construction and the small batches needed for a moment is freed; what they loaded stays.
    release_freed_memory()
    held = resident_memory() - sum(local_rows(weight).nbytes for weight in steps.model.parameters())
    return dataclasses.replace(found, process=held, so_far=peak_memory())


def held_on_gpu(model: Recommender, device: torch.device) -> int:
    """Return the bytes that a GPU holds beside the weights of a model that is built there."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return sum(buffer.nbytes for buffer in model.buffers())
    return torch.cuda.memory_allocated(device) - sum(local_rows(weight).nbytes for weight in model.parameters())


def estimate_validation(steps: Steps, info: DatasetInfo, valid: Sequences) -> int:
    """Return the bytes that live at the same time while targets are ranked, beside weights.

    Two small batches are measured, as for :func:`estimate_activations`, of the domain with more items. Each thread has
    a batch.
    """
    if not len(valid):
        return 0
    of_larger = np.flatnonzero((valid.target >= info.n_x) == (info.n_y > info.n_x))
    windows = valid.take(of_larger) if len(of_larger) else valid
    size = min(validation_batch(info), len(windows))
    small, large = (min(count, size) for count in _MEASURED_SAMPLES)
    measured = {count: _measure_ranking(steps, info, windows.take(np.arange(count))) for count in {small, large}}
    threads = ranking_threads(info, validation_batch(info), steps.device)
    growth = 1.0 if steps.device.type == "cuda" else HEAP_GROWTH
    return int(growth * extended_peak(measured, threads * size))


def _measure_ranking(steps: Steps, info: DatasetInfo, windows: Sequences) -> LiveMemory:
    model, length = steps.model, steps.settings.history_length

    def work() -> None:
        rank_targets(model, windows, info, length, len(windows), steps.device)

    with _unchanged(model), silent(True):
        return peak_of(work, (*model.parameters(), *model.buffers()), steps.device)


def estimate_activations(steps: Steps) -> int:
    """Return the bytes that live at the same time in a step, beside weights and their gradients.

    Forward and backward are measured on two small batches. What both have in common, such as tables of all items, is
    counted once, and the rest grows with the batch. On a CPU the growth of the heap over many steps is part of it. Of
    the steps at a high and at a low learning rate, which may have different losses, the larger counts.
    """
    return max(_estimate_phase(steps, low_rate) for low_rate in (False, True))


def _estimate_phase(steps: Steps, low_rate: bool) -> int:
    size = -(-min(steps.batch_size, len(steps.samples)) // steps.context.size)
    small, large = (min(count, size) for count in _MEASURED_SAMPLES)
    steps.model.low_rate = low_rate
    measured = {count: _measure_step(steps, count) for count in {small, large}}
    steps.model.low_rate = False
    gradients = sum(local_rows(weight).nbytes for weight in steps.model.parameters())
    peak = extended_peak(measured, size) + measured[large].block(steps.device, size / large)
    growth = 1.0 if steps.device.type == "cuda" else HEAP_GROWTH
    return int(growth * max(0.0, peak - gradients))


def _measure_step(steps: Steps, count: int) -> LiveMemory:
    """Follow the memory of forward and backward of ``count`` samples; leave no trace."""
    # Spread over all samples, since neighbours in the file can be alike.
    places = torch.linspace(0, len(steps.samples) - 1, count, device=steps.device).long()
    chosen = steps.samples.take(places)
    batch = steps.gatherer.sequences(chosen) if steps.by_window else steps.gatherer.prefixes(chosen)
    state = steps.draws.generator.get_state()

    def step() -> None:
        with torch.autocast(steps.device.type, torch.bfloat16, enabled=steps.bfloat16):
            terms = steps.model.compute_loss(batch, steps.draws)
        torch.stack([term.total.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]

    with _unchanged(steps.model):
        steps.draws.share(slice(None), count)
        found = peak_of(step, (*steps.model.parameters(), *steps.model.buffers()), steps.device)
        steps.model.zero_grad(set_to_none=True)
    steps.draws.generator.set_state(state)
    return found


def check_memory(estimate: MemoryEstimate, model: str, device: torch.device, processes: int) -> None:
    """Refuse a training that does not fit into the free memory.

    Args:
        estimate: what one process needs.
        model: name of the model, for the message.
        device: where it will train.
        processes: number of processes that share the memory of this machine.

    Raises:
        UserError: it needs more memory than is free.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory() // processes
    if estimate.needed <= USABLE_SHARE * free:
        return
    if estimate.weights + estimate.gradients_and_optimiser + estimate.best_copy > estimate.activations:
        advice = f"lower train.{model}.width, raise sequences.min_item, or use a machine with more memory"
    else:
        advice = f"lower train.{model}.batch_size or train.{model}.history_length"
    raise UserError(
        f"not enough memory on {device.type}: training needs about {estimate.total / 1e9:.1f} GB ({estimate}); "
        f"{free / 1e9:.1f} GB are free beyond what this process already uses",
        where=f"train.{model}",
        do=f"{advice}; see docs/scale.md",
        code="not-enough-memory",
    )


@contextmanager
def _unchanged(model: Recommender) -> Iterator[None]:
    """Put a model into training mode, and restore its mode and the random generators afterwards."""
    training = model.training
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        model.train()
        yield
    model.train(training)
