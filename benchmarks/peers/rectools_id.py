"""SASRec and HSTU of RecTools, which learn an embedding of every item id.

Width, blocks, heads and history length are those of our `sasrec`; everything else is RecTools' default: Adam at 0.001,
batches of 128 users, a softmax over all items of both domains. An item without a training interaction is unknown to
them and is ranked last. Unless `relative_time_attention` is off, HSTU also reads times, that of the target included:
RecTools trains it so, and asks for the time of the request when it recommends. No other side reads the target's time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.peers.task import Task, Trained
from benchmarks.peers.vectors import of_known

#: The size of our `sasrec`, under RecTools' names.
SIZE = {"n_factors": 64, "n_blocks": 2, "n_heads": 2, "session_max_len": 50}
#: Settings to choose from: those of `sasrec` in experiments.yaml; HSTU also without times.
GRIDS: dict[str, list[dict[str, Any]]] = {
    "rectools-sasrec": [{}, {"dropout_rate": 0.5}, {"n_factors": 128, "dropout_rate": 0.5}],
    "rectools-hstu": [{}, {"relative_time_attention": False}, {"relative_time_attention": False, "dropout_rate": 0.5}],
}
MODELS = {"rectools-sasrec": "SASRecModel", "rectools-hstu": "HSTUModel"}


def train(side: str, task: Task) -> Trained:
    """Train one of :data:`MODELS`."""
    import rectools.models
    from pytorch_lightning import seed_everything
    from rectools.dataset import Dataset

    from benchmarks.peers.rectools_common import Held, result, trainer, training_frame

    seed_everything(task.seed, verbose=False)
    setting = {**SIZE, **task.setting}
    model = getattr(rectools.models, MODELS[side])(**setting, recommend_torch_device=task.device.type)

    def held() -> Held:
        return Held(task, numbers_of(model, task), setting["session_max_len"], lambda: _encoder(model, task))

    # RecTools documents this way to set another trainer.
    model._trainer = trainer(task, held)
    model.fit(Dataset.construct(training_frame(task)))
    return result(task, model.torch_model, held())


def numbers_of(model: Any, task: Task) -> Any:
    """``[N]`` RecTools' number of each item, 0 for one without a training interaction."""
    numbers = np.zeros(task.data.info.n_items, np.int64)
    known = model.data_preparator.get_known_item_ids().astype(np.int64)
    numbers[known] = model.data_preparator.get_known_items_sorted_internal_ids()
    return numbers


def _encoder(model: Any, task: Task) -> Any:
    """Keys, biases and an encoder, as RecTools' own `recommend` computes them."""
    network = model.torch_model
    items = network.item_model.get_all_embeddings()
    cosine = network.similarity_module.distance.value == "cosine"

    def finished(vectors: Tensor) -> Tensor:
        return F.normalize(vectors.float(), dim=-1, eps=1e-8) if cosine else vectors.float()

    def encode(histories: Tensor, times: Tensor) -> Tensor:
        return finished(network.encode_sessions({"x": histories, "unix_ts": times}, items)[:, -1, :])

    numbers = torch.from_numpy(numbers_of(model, task)).to(items.device)
    known = numbers.nonzero().flatten()
    return *of_known(finished(items[numbers[known]]), known, len(numbers)), encode
