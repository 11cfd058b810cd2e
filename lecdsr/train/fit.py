"""From data to a trained model: on tables of a pair (the stage ``train``), or on data in memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from lecdsr.core.console import say, silent, warn
from lecdsr.core.device import choose_device, has_bfloat16
from lecdsr.core.files import sha256_file
from lecdsr.core.memory import keep_freed_memory
from lecdsr.core.paths import Artefacts
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import DistributedContext, join_processes
from lecdsr.train.memory_estimate import check_memory, estimate_activations, estimate_memory
from lecdsr.train.schedule import train_schedule
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import gather_model, has_shards, shard_tables
from lecdsr.train.state import TrainingResult
from lecdsr.train.step import Steps
from lecdsr.train.trainer import train


class Fitted(NamedTuple):
    """A trained model, what it was trained on, and how.

    Args:
        network: the model with the weights of its best epoch, on ``device``; on the CPU if its tables were sharded,
            since a GPU might not hold them.
        data: the data it was trained on.
        result: best epoch, training log and seconds.
        device: where it was trained.
        precision: the precision used, which is float32 where the device does not support bfloat16.
        context: the processes that trained together.
        checkpoints: where the checkpoint is; ``None`` if none was kept.
    """

    network: Recommender
    data: PairData
    result: TrainingResult
    device: torch.device
    precision: str
    context: DistributedContext
    checkpoints: Checkpoints | None

    def remove_checkpoint(self) -> None:
        """Delete the checkpoint, once the model is saved."""
        if self.checkpoints is not None:
            self.checkpoints.remove()


def fit(artefacts: Artefacts, model_name: str, settings: Any, shared: SharedSettings) -> Fitted:
    """Train one model on the tables of a pair, resuming from its checkpoint if there is one.

    The checkpoint remains: call :meth:`Fitted.remove_checkpoint` once the model is saved.

    Args:
        artefacts: paths of the pair.
        model_name: name of the model.
        settings: its settings.
        shared: settings of all models.

    Raises:
        UserError: a table is missing, the training does not fit into memory, or it fails.
    """
    prepare_process()
    data = load_pair_data(artefacts, settings.domains, settings.order, shared.seed)
    checkpoints = Checkpoints(artefacts.pair, model_name, {"data": hash_tables(artefacts)})
    label = f"{model_name} on {artefacts.pair}"
    return fit_model(model_name, settings, shared, data, checkpoints=checkpoints, label=label)


def fit_model(
    model_name: str,
    settings: Any,
    shared: SharedSettings,
    data: PairData,
    *,
    checkpoints: Checkpoints | None = None,
    label: str | None = None,
    quiet: bool = False,
    schedule: Sequence[int] | None = None,
) -> Fitted:
    """Train one model on data in memory; without ``checkpoints`` no file is read or written.

    Args:
        model_name: name of the model.
        settings: its settings.
        shared: settings of all models.
        data: sequences and sizes, with ``settings.domains`` and ``settings.order`` already applied to the sequences.
        checkpoints: the checkpoint of this training, with inputs that identify the data; all other inputs are added
            here. ``None`` keeps no checkpoint.
        label: how messages name this training; the model's name by default.
        quiet: print no progress; warnings are still printed.
        schedule: epochs by number of learning-rate decays, to train for exactly these without validation; ``None``
            chooses the best epoch on validation.

    Raises:
        UserError: the training does not fit into memory, or it fails.
    """
    with silent(quiet), _deterministic(), join_processes(choose_device(shared.device)) as (context, device):
        shared = _with_supported_precision(model_name, shared, device, context)
        estimate = estimate_memory(model_name, settings, data.info, shared, device, context.size)
        check_memory(estimate, model_name, device, context.size)
        network = build(model_name, settings, data.info, shared.seed)
        if shared.tables == "sharded":
            shard_tables(network, context, device)
        if checkpoints is not None:
            checkpoints = checkpoints.with_inputs(**_inputs(model_name, settings, shared, context))
            if schedule is not None:
                checkpoints = checkpoints.with_inputs(schedule=list(schedule))

        def check_activations(steps: Steps) -> None:
            whole = dataclasses.replace(estimate, activations=estimate_activations(steps))
            check_memory(whole, model_name, device, context.size)
            if context.is_main:
                say(f"{label or model_name}: about {whole.total / 1e9:.2g} GB of memory ({whole})")

        run = train if schedule is None else functools.partial(train_schedule, schedule=schedule)
        result = run(
            network, data.sequences, data.info, settings, shared, device, checkpoints, context, check_activations
        )
        network.load_state_dict(result.weights)
        if has_shards(network):
            gather_model(network)
            result.weights = network.state_dict()
    return Fitted(network, data, result, device, shared.precision, context, checkpoints)


def prepare_process() -> None:
    """Make a process that only trains fast and repeatable: it keeps freed memory and computes deterministically."""
    keep_freed_memory()
    _set_deterministic(True, fill=False)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Let the same seed give the same bytes on the same machine, and restore PyTorch's switches afterwards."""
    mode, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    _set_deterministic(True, fill=False)
    try:
        yield
    finally:
        _set_deterministic(mode, fill, warn_only)


def _set_deterministic(mode: bool, fill: bool, warn_only: bool = True) -> None:
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    # We never read uninitialised memory, so skip filling it: that took a quarter of a step.
    torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _with_supported_precision(
    model_name: str, shared: SharedSettings, device: torch.device, context: DistributedContext
) -> SharedSettings:
    """Replace bfloat16 by float32 if the device does not support it, or the model has nothing to train."""
    trains = find_model(model_name).recommender.objective != "counts"
    if shared.precision == "float32" or (trains and has_bfloat16(device)):
        return shared
    if trains and context.is_main:
        warn(f"{device} does not support bfloat16: training in float32, which is faster here; metrics differ slightly")
    return shared.model_copy(update={"precision": "float32"})


def _inputs(model_name: str, settings: Any, shared: SharedSettings, context: DistributedContext) -> dict[str, Any]:
    """Everything but the data that decides the result of a training."""
    return {
        "model": model_name,
        "settings": settings.model_dump(mode="json"),
        "shared": shared.model_dump(mode="json"),
        "processes": context.size,
        "torch": torch.__version__,
    }


def hash_tables(artefacts: Artefacts) -> dict[str, str]:
    """SHA-256 of every table that a training reads, by its name."""
    tables = (
        artefacts.interactions,
        artefacts.windows,
        artefacts.items,
        artefacts.item_vectors,
        artefacts.user_vectors,
    )
    return {f"{path.parent.name}/{path.name}": sha256_file(path) for path in tables}
