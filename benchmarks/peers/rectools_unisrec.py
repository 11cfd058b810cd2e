"""UniSRec of RecTools: items are their text vectors, projected by a trained adaptor, under a causal transformer.

It reads the text vectors of our own models. All settings but the history length are RecTools' defaults: width 256,
AdamW at 0.0001 with another factor for each part, batches of 128 users, a softmax over the items of the training part.
An item without a training interaction is ranked by its text, like every other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.task import Task, Trained

LENGTH = 50
#: Settings to choose from: the default, which learns slowly, and two faster ones.
GRIDS: dict[str, list[dict[str, Any]]] = {"rectools-unisrec": [{}, {"lr": 3e-4}, {"lr": 1e-3, "dropout": 0.3}]}


def train(side: str, task: Task) -> Trained:
    """Train the model."""
    from pytorch_lightning import seed_everything
    from rectools.fast_transformers import UniSRecModel

    from benchmarks.peers.rectools_common import Held, result, trainer, training_rows

    seed_everything(task.seed, verbose=False)
    setting = {"session_max_len": LENGTH, **task.setting}
    texts = text_table(task)
    numbers = np.arange(1, len(texts))  # the library's number of an item is its id plus one

    class Validated(UniSRecModel):  # type: ignore[misc]
        """UniSRec with our trainer: its own validates on training data."""

        def _make_trainer(self, max_epochs: int, val_dl: Any = None) -> Any:
            return trainer(task, held, gradient_clip_val=self.grad_clip)

        def _make_lightning(self, net: Any, *others: Any) -> Any:
            self.network = net  # `net` is not set before the end of the training
            return super()._make_lightning(net, *others)

    def held() -> Held:
        return Held(task, numbers, setting["session_max_len"], lambda: _encoder(model.network, texts))

    model = Validated(texts, epochs=task.clock.budget.epochs, **setting)
    rows = training_rows(task)
    columns = (torch.from_numpy(column) for column in (rows["user"], rows["item"] + 1, rows["time"]))
    model.fit(*columns)
    return result(task, model.network, held())


def text_table(task: Task) -> Tensor:
    """``[N+1, D]`` text vectors of the items, after a first row of zeros for padding.

    Raises:
        ValueError: the pair has no text vectors.
    """
    vectors = task.data.info.item_vectors
    if vectors is None:
        raise ValueError(f"UniSRec needs text vectors, and {task.pair} has none")
    return torch.cat([vectors[-1:], vectors[:-1]]).float()


def _encoder(network: Any, texts: Tensor) -> Any:
    """Keys, biases and an encoder over all items: those of the training part are only a part of the table."""
    trained, texts = network.frozen_emb, texts.unsqueeze(1).to(network.frozen_emb.device)

    def with_all(compute: Any, *arguments: Tensor) -> Tensor:
        network.frozen_emb = texts
        try:
            found: Tensor = compute(*arguments)
            return found
        finally:
            network.frozen_emb = trained

    keys = with_all(network.project_all)[1:]
    return keys, keys.new_zeros(len(keys)), lambda items, times: with_all(network.encode_last, items)
