"""The training loop: epochs over samples, one joint validation rule, the best epoch kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lecdsr.base.console import progress_bar, say
from lecdsr.base.errors import UserError
from lecdsr.base.schemas import DOMAINS, TRAIN, VALID
from lecdsr.ranking.frame import Catalogue, Recommender
from lecdsr.ranking.histories import Gatherer, PrefixBatch, Samples, SequenceBatch, Sequences
from lecdsr.ranking.histories import prefix_samples as one_per_target
from lecdsr.ranking.histories import sequence_samples as one_per_window
from lecdsr.ranking.metrics import MONITOR, mean_over_users
from lecdsr.ranking.ranks import rank_targets
from lecdsr.train.settings import Shared

VALIDATION_BATCH = 512


@dataclass
class Result:
    """What training gives: the best weights, when they came, and a row of facts for every epoch."""

    weights: dict[str, Tensor]
    best_epoch: int
    best_score: float
    log: list[dict[str, float]] = field(default_factory=list)


def train(
    model: Recommender,
    sequences: Sequences,
    catalogue: Catalogue,
    settings: Any,
    shared: Shared,
    device: torch.device,
) -> Result:
    """Train ``model`` and return its best epoch on validation.

    The score of an epoch is the mean over the domains of NDCG@10 on validation, ranked against all
    items of the target's domain but the history. Training ends after ``shared.patience`` epochs
    without a better one. Epoch 0 in the log is the model before training.

    Raises:
        UserError: there are no samples or no validation targets, or the loss is not finite.
    """
    valid = sequences.of_split(VALID)
    if not len(valid):
        raise UserError("no validation targets to choose an epoch by", where="sequences.split")
    model.to(device)
    result = Result(_copy(model), 0, -1.0)
    result.best_score = _validate(result, model, valid, catalogue, settings, device, {"epoch": 0})
    if model.objective == "counts":
        return result
    steps = Steps(model, sequences, catalogue, settings, shared, device)
    with progress_bar() as bar:
        task = bar.add_task("training", total=shared.epochs * steps.per_epoch, note="")
        for epoch in range(1, shared.epochs + 1):
            begin = time.monotonic()
            means = _epoch(steps, lambda note: bar.update(task, advance=1, note=note))
            score = _validate(result, model, valid, catalogue, settings, device, {"epoch": epoch, **means})
            seconds = time.monotonic() - begin
            say(f"epoch {epoch}: loss {means['loss']:.4g}, validation {MONITOR} {score:.4f}, {seconds:.1f} s")
            if score > result.best_score:
                result.weights, result.best_epoch, result.best_score = _copy(model), epoch, score
            elif epoch - result.best_epoch >= shared.patience:
                break
    return result


class Steps:
    """The optimiser's side of training: samples in a new seeded order every epoch, one step a batch."""

    def __init__(
        self,
        model: Recommender,
        sequences: Sequences,
        catalogue: Catalogue,
        settings: Any,
        shared: Shared,
        device: torch.device,
    ) -> None:
        training = sequences.of_split(TRAIN)
        self.by_window = model.objective == "sequence"
        length = settings.history_length
        self.samples: Samples = one_per_window(training, length) if self.by_window else one_per_target(training)
        if not len(self.samples):
            raise UserError("no training targets", where="sequences", do="loosen the filters or min_history")
        self.gatherer = Gatherer(sequences, length, catalogue.n_x, catalogue.padding, device)
        self.batch_size: int = settings.batch_size
        self.model = model
        self.order = np.random.default_rng(shared.seed)
        self.generator = torch.Generator(device=device).manual_seed(shared.seed)
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.samples) // self.batch_size)

    def batches(self) -> Iterator[PrefixBatch | SequenceBatch]:
        """One epoch of batches."""
        order = self.order.permutation(len(self.samples))
        for first in range(0, len(order), self.batch_size):
            chosen = self.samples.take(order[first : first + self.batch_size])
            yield self.gatherer.sequences(chosen) if self.by_window else self.gatherer.prefixes(chosen)

    def step(self, batch: PrefixBatch | SequenceBatch) -> dict[str, float]:
        """One step of the optimiser; the loss and its parts."""
        self.optimiser.zero_grad(set_to_none=True)
        loss, parts = self.model.loss(batch, self.generator)
        value = loss.item()
        if not np.isfinite(value):
            raise UserError("the training loss is not finite", do="lower the model's learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return {"loss": value, **{f"loss_{name}": part for name, part in parts.items()}}


def _epoch(steps: Steps, tick: Any) -> dict[str, float]:
    """Means over the steps of one epoch."""
    steps.model.train()
    rows = []
    for batch in steps.batches():
        rows.append(steps.step(batch))
        tick(f"loss {rows[-1]['loss']:.4g}")
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _validate(
    result: Result,
    model: Recommender,
    valid: Sequences,
    catalogue: Catalogue,
    settings: Any,
    device: torch.device,
    row: dict[str, float],
) -> float:
    """Add a row to the log and return the epoch's score."""
    ranks = rank_targets(model, valid, catalogue, settings.history_length, VALIDATION_BATCH, device).full
    in_y = valid.target >= catalogue.n_x
    scores = {
        f"valid_{name}_{MONITOR}": mean_over_users(ranks[in_y == bool(code)], valid.user[in_y == bool(code)])[MONITOR]
        for code, name in enumerate(DOMAINS)
        if (in_y == bool(code)).any()
    }
    score = float(np.mean(list(scores.values())))
    result.log.append({**row, f"valid_{MONITOR}": score, **scores})
    return score


def _copy(model: Recommender) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
