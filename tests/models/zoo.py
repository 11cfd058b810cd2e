"""Small models of every kind, and batches for them."""

from typing import Any

import numpy as np
import torch

from lecdsr.base.schemas import TRAIN
from lecdsr.models.popularity import Settings as PopularitySettings
from lecdsr.models.saved import build
from lecdsr.ranking.frame import Catalogue, Histories, Recommender
from lecdsr.ranking.histories import Gatherer, PrefixBatch, SequenceBatch, prefix_samples, recency, sequence_samples
from tests.models.settings import published_settings, sasrec_settings
from tests.tiny import catalogue, sequences

N_X, N_Y, USERS, LENGTH = 6, 5, 4, 5
PADDING = N_X + N_Y
HISTORIES = [[0, 6, 1, 7, 2, 8, 3, 9], [10, 5, 4, 9, 3], [1, 2, 3, 4], [6, 0, 7, 10, 5, 2]]

PUBLISHED: dict[str, dict[str, Any]] = {
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
}
SASREC: dict[str, dict[str, Any]] = {
    "ids": {},
    "text": {"item_text": "vectors"},
    "random text": {"item_text": "random"},
    "shuffled text": {"item_text": "shuffled"},
    "no dropout": {"dropout": 0.0},
    "one layer, one head": {"layers": 1, "heads": 1},
    "length 1": {"history_length": 1},
}
TRAINED = [("published", name) for name in PUBLISHED] + [("sasrec", name) for name in SASREC]
ALL = [*TRAINED, ("popularity", "counts")]


def settings_of(model: str, variant: str) -> Any:
    """Settings of a variant, with small sizes."""
    if model == "published":
        small = {"width": 8, "hidden": 12, "history_length": LENGTH, "negatives": 3, "batch_size": 4}
        return published_settings(**{**small, **PUBLISHED[variant]})
    if model == "sasrec":
        small = {"width": 8, "heads": 2, "layers": 2, "history_length": LENGTH, "batch_size": 3}
        return sasrec_settings(**{**small, **SASREC[variant]})
    return PopularitySettings()


def make(model: str, variant: str, seed: int = 0, data: Catalogue | None = None) -> Recommender:
    """A variant with weights drawn from ``seed``, in evaluation mode."""
    data = data or catalogue(N_X, N_Y, USERS)
    return build(model, settings_of(model, variant), data, seed).eval()


def batch_of(rows: list[list[int]], users: list[int], length: int = LENGTH) -> Histories:
    """Histories of plain lists of items."""
    sequence = torch.full((len(rows), length), PADDING)
    for place, row in enumerate(rows):
        if row:
            sequence[place, -len(row) :] = torch.tensor(row[-length:])
    return Histories(sequence, recency(sequence, N_X, PADDING), torch.tensor(users))


def training_batch(model: Recommender, settings: Any, chosen: list[int] | None = None) -> PrefixBatch | SequenceBatch:
    """Training samples of ``HISTORIES`` as the model wants them."""
    built = sequences(HISTORIES, N_X)
    gatherer = Gatherer(built, settings.history_length, N_X, PADDING, torch.device("cpu"))
    training = built.of_split(TRAIN)
    by_window = model.objective == "sequence"
    samples = sequence_samples(training, settings.history_length) if by_window else prefix_samples(training)
    samples = samples.take(np.arange(len(samples)) if chosen is None else np.array(chosen))
    return gatherer.sequences(samples) if by_window else gatherer.prefixes(samples)
