"""The training loop: epochs over samples, one joint validation rule, the best epoch kept, kills survived."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lecdsr.core.console import progress_bar, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, TRAIN, VALID
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.metrics import MONITOR, mean_over_users
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.base import Recommender
from lecdsr.train.checkpoint import Checkpoints, Saved, random_state, restore_random_state
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.settings import SharedSettings
from lecdsr.train.step import Steps

VALIDATION_BATCH = 512
#: Steps between looks at the loss and the clock; on a GPU a look waits for all that is under way.
LOOK = 10


@dataclass
class Result:
    """What training gives: the best weights, when they came, a row of facts for every epoch, seconds on the clock."""

    weights: dict[str, Tensor]
    best_epoch: int
    best_score: float
    log: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def train(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    settings: Any,
    shared: SharedSettings,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    context: DistributedContext | None = None,
    before: Callable[[Steps], None] | None = None,
) -> Result:
    """Train ``model`` and return its best epoch on validation.

    The score of an epoch is the mean over the domains of NDCG@10 on validation, ranked against all
    items of the target's domain but the history. After ``shared.patience`` epochs without a better one
    training goes on from the best at ``shared.lr_decay_factor`` times the rate; from then on the rate falls so after
    every worse epoch, and training ends in place of fall ``shared.lr_decays`` + 1. Epoch 0 in the log is the
    model before training, and all there is of a model that only counts; it is never kept, since a model that
    reads texts can begin above what its first epochs reach, and would be sent back there.

    Args:
        model: what to train; its weights are those of the last step afterwards.
        sequences: windows of all splits.
        catalogue: what the model was built for.
        settings: the model's block.
        shared: the block of all models.
        device: where to compute.
        checkpoints: where to keep what a kill must not cost; ``None`` keeps nothing.
        world: the processes that share the work; ``None`` is this one alone.
        before: called with the steps before the first is taken; it may refuse them.

    Raises:
        UserError: there are no samples or no validation targets, the loss is not finite, or the
            checkpoint cannot be used.
    """
    valid = sequences.of_split(VALID)
    if not len(valid):
        raise UserError("no validation targets to choose an epoch by", where="sequences.split")
    model.to(device)
    context = context or DistributedContext()
    validator = Validator(model, valid, info, settings.history_length, device, context)
    if model.objective == "counts":
        begin = time.monotonic()
        model.count(sequences.of_split(TRAIN))
        result = Result(copy_of(model), 0, -1.0)
        result.best_score = validator.score(result, {"epoch": 0})
        result.seconds = time.monotonic() - begin
        return result
    steps = Steps(model, sequences, info, settings, shared, device, context)
    if before is not None:
        before(steps)
    return Training(steps, validator, shared, checkpoints).run()


class Validator:
    """Validation: one score for an epoch, shared among the processes of the world."""

    def __init__(
        self,
        model: Recommender,
        valid: Sequences,
        info: DatasetInfo,
        length: int,
        device: torch.device,
        context: DistributedContext,
    ) -> None:
        self._model, self._valid, self._catalogue = model, valid, info
        self._length, self._device, self._context = length, device, context

    def score(self, result: Result, row: dict[str, float]) -> float:
        """Add a row to the log and return the epoch's score."""
        valid, n_x = self._valid, self._catalogue.n_x
        ranks = np.zeros(len(valid), np.float32)
        mine = self._context.share(len(valid))
        part = valid.take(np.arange(mine.start, mine.stop))
        ranks[mine] = rank_targets(
            self._model, part, self._catalogue, self._length, VALIDATION_BATCH, self._device
        ).full
        ranks = self._context.sum(torch.from_numpy(ranks).to(self._device)).cpu().numpy()
        in_y = valid.target >= n_x
        scores = {
            f"valid_{name}_{MONITOR}": mean_over_users(ranks[chosen], valid.user[chosen])[MONITOR]
            for code, name in enumerate(DOMAINS)
            if (chosen := in_y == bool(code)).any()
        }
        score = float(np.mean(list(scores.values())))
        result.log.append({**row, f"valid_{MONITOR}": score, **scores})
        return score


class Training:
    """One training from its beginning, or from where its checkpoint says."""

    def __init__(
        self, steps: Steps, validator: Validator, shared: SharedSettings, checkpoints: Checkpoints | None
    ) -> None:
        self._steps, self._judge, self._shared, self._checkpoints = steps, validator, shared, checkpoints
        self._model, self._context = steps.model, steps.context
        self._result = Result(copy_of(self._model), 0, -1.0)
        self._epoch, self._step = 1, 0  # the next step to take
        self._waited, self._falls = 0, 0  # epochs without a better one, and how often the rate has fallen
        self._sums: Tensor | None = None  # of the loss and its parts over the steps of this epoch
        self._since = time.monotonic()

    def run(self) -> Result:
        """Train until the epochs or the patience are used up."""
        result, shared = self._result, self._shared
        if not self._resume():
            self._judge.score(result, {"epoch": 0})
        with progress_bar() as bar:
            done = (self._epoch - 1) * self._steps.per_epoch + self._step
            self._bar, self._task = bar, bar.add_task("training", total=shared.epochs * self._steps.per_epoch, note="")
            bar.advance(self._task, done)
            while self._epoch <= shared.epochs and not self._ended:
                self._one_epoch()
        self._clock()
        before = result.log[0][f"valid_{MONITOR}"]
        if self._context.is_main and before > result.best_score:
            warn(f"before training it scored {before:.4f} on validation, at its best epoch {result.best_score:.4f}")
        return result

    def _clock(self) -> None:
        now = time.monotonic()
        self._result.seconds += now - self._since
        self._since = now

    def _one_epoch(self) -> None:
        begin, result = time.monotonic(), self._result
        self._model.train()
        for batch in self._steps.batches(self._epoch, self._step):
            values = self._steps.step(batch, (self._epoch - 1) * self._steps.per_epoch + self._step)
            self._sums = values.double() if self._sums is None else self._sums + values
            self._step += 1
            if self._step % LOOK == 0:
                self._look()
            self._bar.advance(self._task)
        means = self._means()
        score = self._judge.score(result, {"epoch": self._epoch, **means})
        if self._context.is_main:
            seconds = time.monotonic() - begin
            say(f"epoch {self._epoch}: loss {means['loss']:.4g}, validation {MONITOR} {score:.4f}, {seconds:.1f} s")
        if score > result.best_score:
            result.weights, result.best_epoch, result.best_score = copy_of(self._model), self._epoch, score
            self._waited = 0
        else:
            self._waited += 1
            self._anneal()
        self._epoch, self._step, self._sums = self._epoch + 1, 0, None
        self._keep()

    @property
    def _ended(self) -> bool:
        """Whether patience is used up; once the rate has fallen one worse epoch is enough."""
        return self._waited >= (1 if self._falls else self._shared.patience)

    def _anneal(self) -> None:
        """Go on from the best epoch at a lower rate instead of ending, as often as the settings say."""
        if not self._ended or self._falls >= self._shared.lr_decays:
            return
        self._model.load_state_dict(self._result.weights)
        self._falls, self._waited = self._falls + 1, 0
        self._steps.optimisers.scale = self._shared.lr_decay_factor**self._falls

    def _look(self) -> None:
        """Refuse a loss that is no number, before it could reach a checkpoint; write one if it is time."""
        self._bar.update(self._task, note=f"loss {self._means()['loss']:.4g}")
        self._keep()

    def _means(self) -> dict[str, float]:
        """Means over the steps of this epoch so far.

        Raises:
            UserError: one is not finite.
        """
        assert self._sums is not None
        means = (self._sums / self._step).tolist()
        if not np.isfinite(means).all():
            kept = self._checkpoints is not None and self._checkpoints.path.exists()
            raise UserError(
                f"the training loss is not finite in epoch {self._epoch}",
                where=str(self._checkpoints.path) if kept and self._checkpoints else None,
                do="lower the model's learning_rate" + ("; the checkpoint before it is kept" if kept else ""),
            )
        names = ["loss", *(f"loss_{name}" for name in self._steps.names)]
        return dict(zip(names, means, strict=True))

    def _keep(self) -> None:
        """Write a checkpoint where the first process finds it due."""
        if self._checkpoints is None:
            return
        due = torch.tensor(float(self._context.is_main and self._checkpoints.due()), device=self._steps.device)
        if not self._context.sum(due):
            return
        randoms = self._context.gather(random_state(self._steps.device).to(self._steps.device))
        if not self._context.is_main:
            return
        self._clock()
        result, steps = self._result, self._steps
        tensors = {
            **_under("model", self._model.state_dict()),
            **_under("best", result.weights),
            **_under("optimiser", steps.optimisers.state()),
            "draws": steps.draws.generator.get_state(),
            "random": randoms,
        }
        if self._sums is not None:
            tensors["sums"] = self._sums
        facts = {
            "epoch": self._epoch,
            "step": self._step,
            "log": result.log,
            "best_epoch": result.best_epoch,
            "best_score": result.best_score,
            "names": steps.names,
            "waited": self._waited,
            "falls": self._falls,
            "seconds": result.seconds,
        }
        self._checkpoints.write(Saved(tensors, facts))

    def _resume(self) -> bool:
        """Take over the checkpoint, where there is one."""
        saved = self._checkpoints.read() if self._checkpoints else None
        if saved is None:
            return False
        result, steps, facts = self._result, self._steps, saved.facts
        self._model.load_state_dict(saved.part("model"))
        steps.optimisers.load(saved.part("optimiser"))
        steps.draws.generator.set_state(saved.tensors["draws"])
        restore_random_state(saved.tensors["random"][self._context.rank], steps.device)
        result.weights = {name: value.to(steps.device) for name, value in saved.part("best").items()}
        result.best_epoch, result.best_score, result.log = facts["best_epoch"], facts["best_score"], facts["log"]
        self._epoch, self._step, steps.names = facts["epoch"], facts["step"], facts["names"]
        self._waited, self._falls = facts["waited"], facts["falls"]
        steps.optimisers.scale = self._shared.lr_decay_factor**self._falls
        result.seconds = facts["seconds"]
        sums = saved.tensors.get("sums")
        self._sums = None if sums is None else sums.to(steps.device)
        if self._context.is_main:
            say(f"going on in epoch {self._epoch} after step {self._step}, from {self._checkpoints.path}")  # type: ignore[union-attr]
        return True


def copy_of(model: Recommender) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _under(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for key, value in tensors.items()}
