"""Train a model from settings and data: the tables of a pair (stage ``train``), or data in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from lecdsr.core.console import say, silent, warn
from lecdsr.core.device import choose_device, has_bfloat16, has_tf32
from lecdsr.core.files import sha256_file
from lecdsr.core.memory import keep_freed_memory
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import VALID
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.models.base import Recommender, take_weights
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import DistributedContext, join_processes
from lecdsr.train.memory_estimate import check_memory, complete_estimate, estimate_memory
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import gather_model, has_shards, shard_tables
from lecdsr.train.state import Rates, TrainingResult, copy_weights
from lecdsr.train.step import Steps
from lecdsr.train.term_weights import fit_term_weights
from lecdsr.train.trainer import make_validator, train
from lecdsr.train.validator import SCORE

#: Weights below which a network is trained by one thread.
SMALL = 1_000_000


class Fitted(NamedTuple):
    """A trained model, the data it was trained on, and how it was trained.

    Args:
        network: the model with the weights of its best epoch, on ``device``; on the CPU if its tables were sharded,
            since a GPU might not hold them.
        data: the data it was trained on.
        result: best epoch, training log and seconds.
        device: where it was trained.
        precision: the precision used, which is float32 where the device does not support bfloat16.
        context: the processes that trained together.
        checkpoints: where the checkpoint is; ``None`` if none was kept.
        threads: threads of the CPU that trained it.
    """

    network: Recommender
    data: PairData
    result: TrainingResult
    device: torch.device
    precision: str
    context: DistributedContext
    checkpoints: Checkpoints | None
    threads: int

    def remove_checkpoint(self) -> None:
        """Delete the checkpoint, after the model is saved."""
        if self.checkpoints is not None:
            self.checkpoints.remove()


def fit(artefacts: Artefacts, model_name: str, settings: Any, shared: SharedSettings) -> Fitted:
    """Train one model on the tables of a pair, resuming from its checkpoint if there is one.

    The checkpoint is kept: call :meth:`Fitted.remove_checkpoint` after the model is saved.

    Args:
        artefacts: paths of the pair.
        model_name: name of the model.
        settings: its settings.
        shared: settings of all models.

    Raises:
        UserError: a table is missing, the training does not fit into memory, or it fails.
    """
    prepare_process()
    data = load_pair_data(artefacts, settings.domains, settings.order, shared.seed, settings.profiles_read)
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
    schedule: Sequence[Rates] | None = None,
    term_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> Fitted:
    """Train one model on data in memory; without ``checkpoints`` no file is read or written.

    Args:
        model_name: name of the model.
        settings: its settings.
        shared: settings of all models.
        data: sequences and sizes, with ``settings.domains`` and ``settings.order`` already applied to the sequences.
        checkpoints: the checkpoint of this training, with inputs that identify the data; all other inputs are added
            here. ``None`` keeps no checkpoint.
        label: name of this training in messages; the model's name by default.
        quiet: print no progress; warnings are still printed.
        schedule: learning rates of every epoch, to train for exactly these without validation; ``None`` chooses the
            best epoch on validation.
        term_weights: weights of the terms of the score by domain, as a former training fitted them; with ``schedule``.

    Raises:
        UserError: the training does not fit into memory, or it fails.
    """
    with silent(quiet), _deterministic(), join_processes(choose_device(shared.device)) as (context, device):
        shared = _with_supported_precision(model_name, shared, device, context)
        torch.set_float32_matmul_precision("high" if shared.precision == "tf32" else "highest")
        estimate = estimate_memory(model_name, settings, data.info, shared, device, context.size)
        check_memory(estimate, model_name, device, context.size)
        network = build(model_name, settings, data.info, shared.seed)
        threads = _threads_for(network)
        if shared.tables == "sharded":
            shard_tables(network, context, device)
        if checkpoints is not None:
            checkpoints = checkpoints.with_inputs(**_inputs(model_name, settings, shared, context))
            if schedule is not None:
                checkpoints = checkpoints.with_inputs(schedule=list(schedule))

        def check_whole(steps: Steps) -> None:
            valid = data.sequences.of_split(VALID)
            valid = valid.take(np.arange(0)) if schedule is not None else valid
            whole = complete_estimate(estimate, steps, data.info, valid)
            check_memory(whole, model_name, device, context.size)
            if context.is_main:
                say(f"{label or model_name}: about {whole.total / 1e9:.2g} GB of memory ({whole})")

        with _threads(threads):
            result = train(
                network,
                data.sequences,
                data.info,
                settings,
                shared,
                device,
                checkpoints,
                context,
                check_whole,
                schedule,
            )
            network.load_state_dict(result.weights)
            if has_shards(network):
                gather_model(network)
                result.weights = network.state_dict()
            if schedule is None:
                _fit_terms(network, data, settings, shared, result)
            elif term_weights is not None:
                take_weights(network, term_weights)
                result.weights = copy_weights(network)
    return Fitted(network, data, result, device, shared.precision, context, checkpoints, threads)


def _fit_terms(
    network: Recommender, data: PairData, settings: Any, shared: SharedSettings, result: TrainingResult
) -> None:
    """Fit the weights of the terms of the score, if the model has any, and score validation again."""
    if network.term_weights is None:
        return
    begin, device = time.monotonic(), next(network.parameters()).device
    validator = make_validator(network, data.sequences, data.info, settings, shared, device)
    fit_term_weights(network, validator.windows, data.info, settings.history_length, device, shared.seed)
    result.weights, result.best_score = copy_weights(network), validator.evaluate()[SCORE]
    result.seconds += time.monotonic() - begin


def _threads_for(network: torch.nn.Module) -> int:
    """Return how many threads train a network: one if it is small, unless ``OMP_NUM_THREADS`` says how many.

    Two threads that share the short operations of a small network wait for each other at the end of each: beside two
    other busy processes a training took 18 times as long for 5 times the processor time.
    """
    small = sum(parameter.numel() for parameter in network.parameters()) < SMALL
    return 1 if small and not os.environ.get("OMP_NUM_THREADS") else torch.get_num_threads()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_process() -> None:
    """Configure a process that only trains: keep freed memory for reuse, and compute deterministically."""
    keep_freed_memory()
    _set_deterministic(True, fill=False)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Make PyTorch deterministic: one seed gives the same bytes on one machine. Restore its switches at the end."""
    mode, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    products = torch.get_float32_matmul_precision()
    _set_deterministic(True, fill=False)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        _set_deterministic(mode, fill, warn_only)


def _set_deterministic(mode: bool, fill: bool, warn_only: bool = True) -> None:
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    # We never read uninitialised memory, so skip filling it, which took a quarter of a step.
    torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _with_supported_precision(
    model_name: str, shared: SharedSettings, device: torch.device, context: DistributedContext
) -> SharedSettings:
    """Replace a precision by float32 if the device does not support it, or the model has nothing to train."""
    trains = find_model(model_name).recommender.objective != "counts"
    supports = {"tf32": has_tf32, "bfloat16": has_bfloat16}.get(shared.precision)
    if supports is None or (trains and supports(device)):
        return shared
    if trains and context.is_main:
        asked = shared.precision
        warn(f"{device} does not support {asked}: training in float32, which is faster here; metrics differ slightly")
    return shared.model_copy(update={"precision": "float32"})


def _inputs(model_name: str, settings: Any, shared: SharedSettings, context: DistributedContext) -> dict[str, Any]:
    """Collect everything except the data that determines the result of a training."""
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
        artefacts.profiles,
        artefacts.phrase_vectors,
    )
    return {f"{path.parent.name}/{path.name}": sha256_file(path) for path in tables}
