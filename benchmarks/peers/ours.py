"""Train a model of this project, measured like the peers."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.clock import EpochClock
from benchmarks.peers.task import Task, Trained
from lecdsr import __version__
from lecdsr.config.load import load_block
from lecdsr.core.paths import Artefacts
from lecdsr.evaluate.evaluate import rank_held_out
from lecdsr.evaluate.settings import Settings
from lecdsr.experiments.plan import SEED
from lecdsr.experiments.records import COLUMNS, read_rows
from lecdsr.models.registry import find_model
from lecdsr.train.fit import fit_model, prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.validator import SCORE, Validator


class TimeIsUp(Exception):
    """Raised to end a training for its time alone."""


def grid(model: str, pair: str) -> list[dict[str, Any]]:
    """Return the setting that the recorded experiments of a pair chose on validation, from as many as a peer has."""
    rows = read_rows(Artefacts(pair).experiments, COLUMNS)
    chosen = [row["setting"] for row in rows if (row["method"], row["role"], row["control"]) == (model, SEED, "")]
    return [json.loads(chosen[0])] if chosen else [{}]


def train(side: str, task: Task) -> Trained:
    """Train the model ``side`` with its settings in the repository, changed by those of the task."""
    prepare_process()
    kind = find_model(side).settings
    known = load_block("train", kind, task.pair, side).model_dump()
    settings = kind.model_validate({**known, **task.setting})
    shared = SharedSettings(
        seed=task.seed,
        device="cuda" if task.device.type == "cuda" else "cpu",
        epochs=task.clock.budget.epochs,
        precision="bfloat16" if task.precision == "bfloat16" else "float32",
    )
    _measure(task.clock, stop=not task.rank)
    try:
        network = fit_model(side, settings, shared, task.data, quiet=True).network
    except TimeIsUp:
        return Trained(0, f"lecdsr {__version__}", None)
    task.clock.ended = "patience" if len(task.clock.log) < shared.epochs else "epochs"
    parameters = sum(weight.numel() for weight in network.parameters())
    ranks = None
    if task.rank:
        held, length = task.data, settings.history_length
        ranks = rank_held_out(network, held.sequences, held.info, task.candidates, length, Settings(), task.device)
    return Trained(parameters, f"lecdsr {__version__}", ranks)


def _measure(clock: EpochClock, stop: bool) -> None:
    """Let the clock run between validations; the first is of the model before training."""
    evaluate = Validator.evaluate
    calls = 0

    def measured(validator: Validator) -> dict[str, float]:
        nonlocal calls
        clock.pause()
        scores = evaluate(validator)
        if calls:
            clock.record(scores[SCORE])
        calls += 1
        if stop and clock.ended == "time":
            raise TimeIsUp
        clock.reset()
        clock.resume()
        return scores

    Validator.evaluate = measured  # type: ignore[method-assign, assignment]
