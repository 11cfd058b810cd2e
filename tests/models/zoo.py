"""Small models of every kind, and batches for them."""

from typing import Any

import numpy as np
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import Gatherer, Histories, PrefixBatch, SequenceBatch, prefix_samples, recency, sequence_samples
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from tests.models.settings import settings_for
from tests.tiny import info, sequences

N_X, N_Y, USERS, LENGTH = 6, 5, 4, 5
PADDING = N_X + N_Y
HISTORIES = [[0, 6, 1, 7, 2, 8, 3, 9], [10, 5, 4, 9, 3], [1, 2, 3, 4], [6, 0, 7, 10, 5, 2]]

LECDSR: dict[str, dict[str, Any]] = {
    "masked": {},
    "as published": {"mask_padding": False},
    "moe": {"projection": "moe", "experts": 3},
    "moe as published": {"projection": "moe", "experts": 3, "mask_padding": False},
    "no convolution": {"convolution": False},
    "no item text": {"item_text": "none"},
    "no user text": {"user_text": "none"},
    "ids only": {"item_text": "none", "user_text": "none", "convolution": False},
    "ids only, unmasked": {"item_text": "none", "user_text": "none", "convolution": False, "mask_padding": False},
    "random text": {"item_text": "random", "user_text": "random"},
    "shuffled text": {"item_text": "shuffled", "user_text": "shuffled"},
    "mean, no history": {"reduction": "mean", "exclude_history": True},
    "even length": {"history_length": 4},
    "length 1": {"history_length": 1},
    "psl": {"loss": "psl", "score": "cosine", "tau": 0.5, "surrogate": "tanh"},
    "sampled softmax": {"loss": "sampled_softmax", "align": "batch"},
    "softmax of cosines": {"loss": "softmax", "score": "cosine", "tau": 0.1},
    "bce": {"loss": "bce"},
}
SASREC: dict[str, dict[str, Any]] = {
    "ids": {},
    "text": {"item_text": "vectors"},
    "started from text": {"start": "text"},
    "random text": {"item_text": "random"},
    "shuffled text": {"item_text": "shuffled"},
    "no dropout": {"dropout": 0.0},
    "one layer, one head": {"layers": 1, "heads": 1},
    "length 1": {"history_length": 1},
}
HGN: dict[str, dict[str, Any]] = {"ids": {}, "length 1": {"history_length": 1}}
ABXI_VARIANTS: dict[str, dict[str, Any]] = {
    "ids": {},
    "sampled softmax": {"loss": "sampled_softmax", "negatives": 3},
    "one head, no dropout, a hidden width": {"heads": 1, "dropout": 0.0, "hidden": 12},
    "length 1": {"history_length": 1},
}
TANDEM: dict[str, dict[str, Any]] = {
    "default": {},
    "ids": {"item_text": "none"},
    "random text": {"item_text": "random"},
    "shuffled text": {"item_text": "shuffled"},
    "no content": {"content_weight": 0.0},
    "no calendar": {"calendar_days": 0},
    "ids whole": {"id_shrinkage": 0.0, "id_dropout": 0.0},
    "ids dropped": {"id_dropout": 0.5},
    "two layers, one head": {"layers": 2, "heads": 1},
    "length 1": {"history_length": 1},
}
ITEMKNN: dict[str, dict[str, Any]] = {
    "all neighbours": {"neighbours": 11},
    "two neighbours": {"neighbours": 2, "shrinkage": 3.0, "decay": 1.0},
    "length 1": {"history_length": 1},
}
CONTENT: dict[str, dict[str, Any]] = {
    "whitened": {},
    "as it comes": {"whitening": False, "decay": 1.0},
    "random text": {"item_text": "random"},
    "shuffled text": {"item_text": "shuffled"},
    "length 1": {"history_length": 1},
}
#: Small sizes and variants of every registered model.
ZOO: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "popularity": ({}, {"counts": {}}),
    "itemknn": ({"history_length": LENGTH, "neighbours": 4, "shrinkage": 1.0, "decay": 0.7}, ITEMKNN),
    "content": ({"history_length": LENGTH, "decay": 0.7}, CONTENT),
    "hgn": ({"width": 8, "history_length": LENGTH, "batch_size": 4}, HGN),
    "sasrec": ({"width": 8, "heads": 2, "layers": 2, "history_length": LENGTH, "batch_size": 3}, SASREC),
    "abxi": (
        {"width": 8, "heads": 2, "domain_rank": 2, "invariant_rank": 3, "history_length": LENGTH, "batch_size": 3},
        ABXI_VARIANTS,
    ),
    "tandem": ({"width": 8, "heads": 2, "history_length": LENGTH, "batch_size": 3, "calendar_days": 2}, TANDEM),
    "lecdsr": ({"width": 8, "hidden": 12, "history_length": LENGTH, "negatives": 3, "batch_size": 4}, LECDSR),
}
ALL = [(model, variant) for model, (_, variants) in ZOO.items() for variant in variants]
TRAINED = [(model, variant) for model, variant in ALL if find_model(model).recommender.objective != "counts"]


def settings_of(model: str, variant: str) -> Any:
    """Settings of a variant, with small sizes."""
    small, variants = ZOO[model]
    return settings_for(model, **{**small, **variants[variant]})


def make(model: str, variant: str, seed: int = 0, data: DatasetInfo | None = None) -> Recommender:
    """A variant with weights drawn from ``seed``, or counted over ``HISTORIES``, in evaluation mode."""
    data = data or info(N_X, N_Y, USERS)
    network = build(model, settings_of(model, variant), data, seed).eval()
    network.count(sequences(HISTORIES, N_X).of_split(TRAIN))
    return network


def config_of(model: str, settings: Any, seed: int = 0) -> dict[str, Any]:
    """What is saved beside the weights."""
    sizes = {"n_x": N_X, "n_y": N_Y, "n_users": USERS}
    return {"model": model, "settings": settings.model_dump(), "seed": seed, **sizes}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Draws:
    return Draws(seed)


def histories_for(model: Recommender) -> Histories:
    """All histories, with an empty one and a single item among them."""
    return batch_of([*HISTORIES, [], [7]], [0, 1, 2, 3, 0, 1], model.settings.history_length)


def row(histories: Histories, place: int) -> Histories:
    """A batch of one."""
    some = slice(place, place + 1)
    parts = (histories.sequence, histories.position, histories.user, histories.day)
    return Histories(*(part[some] for part in parts))


def scores(network: Recommender, histories: Histories) -> torch.Tensor:
    """``[B, N]`` scores of all items, one domain at a time as ranking does it."""
    score = network.scorer()
    return torch.cat([score(histories, network.info.items_of(domain)) for domain in (0, 1)], dim=1).detach()


def perturb(network: Recommender, scale: float = 0.3) -> Recommender:
    """Weights of a trained size everywhere, so that a term that vanishes at the start is seen."""
    source = generator(99)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=source)
    return network


def batch_of(rows: list[list[int]], users: list[int], length: int = LENGTH) -> Histories:
    """Histories of plain lists of items."""
    sequence = torch.full((len(rows), length), PADDING)
    for place, row in enumerate(rows):
        if row:
            sequence[place, -len(row) :] = torch.tensor(row[-length:])
    return histories_of(sequence, users)


def histories_of(sequence: torch.Tensor, users: list[int]) -> Histories:
    """Histories of padded items, the latest item on day 9, the one before on day 8 and so on."""
    day = torch.arange(10 - sequence.shape[1], 10).expand_as(sequence)
    return Histories(sequence, recency(sequence, N_X, PADDING), torch.tensor(users), day)


def training_batch(model: Recommender, settings: Any, chosen: list[int] | None = None) -> PrefixBatch | SequenceBatch:
    """Training samples of ``HISTORIES`` as the model wants them."""
    built = sequences(HISTORIES, N_X)
    gatherer = Gatherer(built, settings.history_length, N_X, PADDING, torch.device("cpu"))
    training = built.of_split(TRAIN)
    by_window = model.objective == "sequence"
    samples = sequence_samples(training, settings.history_length) if by_window else prefix_samples(training)
    samples = samples.take(np.arange(len(samples)) if chosen is None else np.array(chosen))
    return gatherer.sequences(samples) if by_window else gatherer.prefixes(samples)
