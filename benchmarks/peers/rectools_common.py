"""What the models of RecTools have in common here: interactions, validation after each epoch, vectors of targets.

RecTools 0.19 stops a training by a loss on validation or, in UniSRec, on training data. To compare the models and not
their stopping rules, all sides stop by the score of our own training, and keep the weights of its best epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.peers.histories import PaddedHistories, pad_histories
from benchmarks.peers.task import Task, Trained
from benchmarks.peers.vectors import TargetVectors, encoded, rank_vectors, score
from lecdsr.core.arrays import expand
from lecdsr.core.schemas import TRAIN, VALID
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.evaluate import held_out
from lecdsr.evaluate.settings import Settings

LIBRARY = f"RecTools {version('rectools')}"
#: Histories that are encoded at once.
BATCH = 1024
#: Keys and biases of all items, and a function that encodes ``[B, L]`` items and ``[B, L+1]`` times as ``[B, d]``.
Encoder = tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]


def training_rows(task: Task) -> dict[str, Any]:
    """Columns of the training interactions, in time order for each user: ``user``, ``item`` and ``time`` in seconds."""
    sequences = task.data.sequences.of_split(TRAIN)
    window, row = expand(sequences.start, sequences.end)
    row, kept = np.unique(row, return_index=True)  # windows can overlap
    user = sequences.user[window[kept]]
    return {"user": user, "item": sequences.items[row], "time": task.time[row]}


def training_frame(task: Task) -> pd.DataFrame:
    """The training interactions with RecTools' names of columns."""
    rows = training_rows(task)
    when = pd.to_datetime(rows["time"], unit="s").astype("datetime64[ns]")
    return pd.DataFrame({"user_id": rows["user"], "item_id": rows["item"], "weight": 1, "datetime": when})


class Held:
    """Held-out targets of a task, encoded by a network of RecTools.

    Args:
        task: the training.
        numbers: ``[N]`` the library's number of each item; 0 if it does not know the item.
        length: history length.
        encoder: returns keys and an encoder for the present weights.
    """

    def __init__(self, task: Task, numbers: Any, length: int, encoder: Callable[[], Encoder]) -> None:
        self._task, self._encoder = task, encoder
        self.valid = task.data.sequences.of_split(VALID)
        self._valid, self._all = (
            pad_histories(targets, task.time, numbers, length)
            for targets in (self.valid, held_out(task.data.sequences))
        )

    def score(self) -> float:
        """Compute the validation score of the present weights."""
        return score(self._vectors(self._valid, self.valid), self.valid, self._task.data.info)

    def ranks(self) -> Any:
        """Rank all held-out targets by the present weights, as the table ``RANKS``."""
        vectors = self._vectors(self._all, held_out(self._task.data.sequences))
        return rank_vectors(vectors, self._task.data, self._task.candidates, Settings())

    @torch.no_grad()
    def _vectors(self, histories: PaddedHistories, targets: Sequences) -> TargetVectors:
        keys, bias, encode = self._encoder()
        parts = []
        for first in range(0, len(targets), BATCH):
            items, times = (torch.from_numpy(column[first : first + BATCH]).to(keys.device) for column in histories)
            parts.append(encode(items, times))
        return encoded(parts, keys, bias)


def trainer(task: Task, held: Callable[[], Held], **options: Any) -> Any:
    """Build a trainer of PyTorch Lightning that validates after every epoch and ends with the weights of the best.

    Args:
        task: the training.
        held: returns the held-out targets; called when the training begins, since the network is built by then.
        options: further options of the trainer.
    """
    import pytorch_lightning as pl

    class Validation(pl.Callback):  # type: ignore[misc]
        """Validate after each epoch by the rule of our own training."""

        def __deepcopy__(self, memo: Any) -> Validation:
            return self  # RecTools copies the trainer, and this object must stay the one

        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.held, self.best = held(), None
            task.clock.resume()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            task.clock.pause()
            module.eval()
            if task.clock.record(self.held.score()):
                self.best = deepcopy(module.state_dict())
            module.train()
            trainer.should_stop = task.clock.ended is not None
            task.clock.resume()

        def on_train_end(self, trainer: Any, module: Any) -> None:
            module.load_state_dict(self.best)

    return pl.Trainer(
        max_epochs=task.clock.budget.epochs,
        accelerator="gpu" if task.device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if task.precision == "bfloat16" else "32-true",
        callbacks=[Validation()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **options,
    )


def result(task: Task, network: nn.Module, held: Held) -> Trained:
    """Rank with the weights of the best epoch."""
    network.to(task.device).eval()
    parameters = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return Trained(parameters, LIBRARY, held.ranks() if task.rank else None)
