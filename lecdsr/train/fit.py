"""From the tables of a pair to a trained model: what the stage and the studies share."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch

from lecdsr.core.console import say, warn
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
from lecdsr.train.memory_estimate import activations, check_room, tables_footprint
from lecdsr.train.settings import SharedSettings
from lecdsr.train.step import Steps
from lecdsr.train.trainer import Result, train


class Fitted(NamedTuple):
    """A model at its best epoch, what it was trained on, and how it got there; ``precision`` is what the device had."""

    network: Recommender
    data: PairData
    result: Result
    device: torch.device
    precision: str
    context: DistributedContext
    checkpoints: Checkpoints


def prepare_process() -> None:
    """Let the same seed on the same machine give the same bytes, and freed memory stay for the next step."""
    keep_freed_memory()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory that nobody wrote; filling it all the same took a quarter of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def fit(artefacts: Artefacts, model: str, settings: Any, shared: SharedSettings) -> Fitted:
    """Train one model on one pair, going on from a checkpoint where there is one.

    The checkpoint is left in place: the caller removes it once the result is kept.

    Raises:
        UserError: an artefact is missing, the training does not fit into memory, or it fails.
    """
    prepare_process()
    with join_processes(choose_device(shared.device)) as (context, device):
        shared = _with_supported_precision(model, shared, device, context)
        data = load_pair_data(artefacts, settings.domains, settings.order, shared.seed)
        tables = tables_footprint(model, settings, data.info, shared, device)
        check_room(tables, model, device, context.size)
        network = build(model, settings, data.info, shared.seed)
        checkpoints = Checkpoints(artefacts.pair, model, _rests_on(artefacts, model, settings, shared, context))

        def check_step(steps: Steps) -> None:
            whole = dataclasses.replace(tables, activations=activations(steps))
            check_room(whole, model, device, context.size)
            if context.is_main:
                say(f"{model} on {artefacts.pair}: about {whole.total / 1e9:.2g} GB of memory ({whole})")

        result = train(network, data.sequences, data.info, settings, shared, device, checkpoints, context, check_step)
        network.load_state_dict(result.weights)
    return Fitted(network, data, result, device, shared.precision, context, checkpoints)


def _with_supported_precision(
    model: str, shared: SharedSettings, device: torch.device, context: DistributedContext
) -> SharedSettings:
    """Replace bfloat16 by float32 where the device does not support it, or the model has nothing to train."""
    trains = find_model(model).recommender.objective != "counts"
    if shared.precision == "float32" or (trains and has_bfloat16(device)):
        return shared
    if trains and context.is_main:
        warn(f"{device} does not support bfloat16: training in float32, which is faster here; metrics differ slightly")
    return shared.model_copy(update={"precision": "float32"})


def _rests_on(
    artefacts: Artefacts, model: str, settings: Any, shared: SharedSettings, context: DistributedContext
) -> dict[str, Any]:
    """All that decides the numbers of a training."""
    tables = (
        artefacts.interactions,
        artefacts.windows,
        artefacts.items,
        artefacts.item_vectors,
        artefacts.user_vectors,
    )
    return {
        "model": model,
        "settings": settings.model_dump(mode="json"),
        "shared": shared.model_dump(mode="json"),
        "data": {path.name + " of " + path.parent.name: sha256_file(path) for path in tables},
        "processes": context.size,
        "torch": torch.__version__,
    }
