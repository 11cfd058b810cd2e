"""State of a training: its result so far, and everything that the next step depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from lecdsr.core.console import say
from lecdsr.models.base import Recommender
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.optimiser import Optimisers
from lecdsr.train.sharded import gather_tables, shard_like
from lecdsr.train.validator import SCORE

#: Factors of the learning rate in an epoch, at its first step and after its last.
Rates = list[float]


@dataclass
class TrainingResult:
    """Result of a training: the best epoch on validation, and the log of all epochs.

    Args:
        weights: weights of the best epoch, named as in the model's ``state_dict``.
        best_epoch: the epoch they come from; 0 for a model that only counts.
        best_score: validation score of that epoch, by which it was chosen; -1 before the first epoch ends.
        log: one row per epoch; epoch 0 is the model before training.
        seconds: time spent, including validation, summed over interrupted runs.
        schedule: learning rates of the epochs that the weights went through; epochs that were given up do not count.
    """

    weights: dict[str, Tensor]
    best_epoch: int = 0
    best_score: float = -1.0
    log: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    schedule: list[Rates] = field(default_factory=list)

    @property
    def ndcg(self) -> float:
        """Validation NDCG@10 of the best epoch, whatever it was chosen by; -1 without a validation."""
        return next((row[SCORE] for row in self.log if row["epoch"] == self.best_epoch and SCORE in row), -1.0)


@dataclass(kw_only=True)
class TrainerState(TrainingResult):
    """State of a training in progress: the result so far, and everything that the next step depends on.

    All fields are part of :meth:`state_dict`, so a new field is saved and restored without further code.

    Args:
        model: the model with its current weights.
        optimisers: they hold the moments of AdamW.
        generators: sources of randomness.
        epoch: number of the current epoch, from 1.
        step: steps taken in the current epoch.
        waited: epochs since the best one, or since the last learning-rate decay; see the schedule.
        decays: learning-rate decays so far.
        rates: factors of the learning rate in the current epoch.
        path: the same of all epochs that the current weights went through.
        loss_names: names of the loss and its terms in the log.
        loss_sums: ``[len(loss_names)]`` sums over the steps of the current epoch; ``None`` before the first step.
    """

    model: Recommender
    optimisers: Optimisers
    generators: Generators
    epoch: int = 1
    step: int = 0
    waited: int = 0
    decays: int = 0
    rates: Rates = field(default_factory=lambda: [1.0, 1.0])
    path: list[Rates] = field(default_factory=list)
    loss_names: list[str] = field(default_factory=list)
    loss_sums: Tensor | None = None

    def result(self) -> TrainingResult:
        """Return the result that remains when training ends."""
        return TrainingResult(**{one.name: getattr(self, one.name) for one in fields(TrainingResult)})

    def state_dict(self) -> dict[str, Any]:
        """Return all fields by name: parts that have a ``state_dict`` as that, tensors and plain values unchanged.

        Every process of a distributed training must call this, since the states of their generators and the rows of
        sharded tables are gathered. Only the main process gets the rows.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        states = {name: value.state_dict() if _has_state(value) else value for name, value in values.items()}
        gathered: dict[str, Any] = gather_tables(states)
        return gathered

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; tensors move to the device of the model.

        Raises:
            ValueError: the names are not those of the fields.
            KeyError: a part lacks an entry.
            RuntimeError: the weights are those of another model.
        """
        names = {one.name for one in fields(self)}
        if state.keys() != names:
            raise ValueError(f"unexpected or missing entries: {', '.join(sorted(state.keys() ^ names))}")
        device = next(self.model.parameters()).device
        for name, value in state.items():
            part = getattr(self, name)
            if _has_state(part):
                part.load_state_dict(value)
            else:
                setattr(self, name, _to_device(shard_like(part, value), device))


@dataclass(frozen=True)
class Generators:
    """Random generators of a training.

    Args:
        negatives: generator of the negatives; it has the same state in all processes.
        device: on it and on the CPU, PyTorch's default generators draw dropout, separately in each process.
        context: the processes that train together.
    """

    negatives: torch.Generator
    device: torch.device
    context: DistributedContext

    def state_dict(self) -> dict[str, Tensor]:
        """Return the generator states as bytes, ``[bytes]`` for negatives and ``[processes, bytes]`` for dropout."""
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        dropout = self.context.gather(torch.cat(states).to(self.device))
        return {"negatives": self.negatives.get_state(), "dropout": dropout}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the states of this process from what :meth:`state_dict` returned.

        A generator of a GPU and one of the CPU have no state in common. What was saved on the other kind of device
        therefore seeds the generators here: the training continues, but not with the numbers it would have had there.
        """
        negatives, dropout = state["negatives"].cpu(), state["dropout"][self.context.rank].cpu()
        size = len(torch.get_rng_state())
        # PyTorch reads a state from the start of its storage, so a view of a later row would restore wrong bytes.
        torch.set_rng_state(dropout[:size].clone())
        on_gpu = self.device.type == "cuda"
        if on_gpu == (len(dropout) > size):
            self.negatives.set_state(negatives)
            if on_gpu:
                torch.cuda.set_rng_state(dropout[size:].clone(), self.device)
            return
        if self.context.is_main:
            say(f"the checkpoint was written on another kind of device: new random numbers on {self.device}")
        self.negatives.manual_seed(_seed_from(negatives))
        if on_gpu:
            torch.cuda.manual_seed(_seed_from(dropout))


def _seed_from(state: Tensor) -> int:
    """A seed that depends on all bytes of a generator's state."""
    return int.from_bytes(hashlib.sha256(state.numpy().tobytes()).digest()[:7], "big")


def copy_weights(model: Recommender) -> dict[str, Tensor]:
    """Copy the current weights of a model."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def log_to_csv(log: list[dict[str, float]]) -> str:
    """Format a training log as CSV, one row per epoch; missing values, such as the loss of epoch 0, are empty."""
    fullest: dict[str, float] = max(log, key=lambda row: len(row))
    columns = list(fullest)
    rows = [",".join(_format(row[name]) if name in row else "" for name in columns) for row in log]
    return "\n".join([",".join(columns), *rows]) + "\n"


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _has_state(value: Any) -> bool:
    return hasattr(value, "load_state_dict")


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _to_device(part, device) for name, part in value.items()}
    return value
