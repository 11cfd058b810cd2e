"""Trainings and rankings of the small models of ``tests/models/zoo.py`` on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.evaluate.ranks import Ranks, rank_targets
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.state import TrainingResult
from lecdsr.train.step import Steps
from lecdsr.train.trainer import train
from tests.models import zoo
from tests.models.settings import shared_settings
from tests.tiny import info, sequences

CPU = torch.device("cpu")
#: Loss terms over negatives, the only ones that can update tables by rows.
BY_ROWS = [
    (model, variant)
    for model, variant in zoo.TRAINED
    if zoo.make(model, variant).row_tables() and variant in ("sampled softmax", "masked", "ids only", "bce", "psl")
]


def trained(
    model: str,
    variant: str,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    network: Recommender | None = None,
    **shared: Any,
) -> tuple[Recommender, TrainingResult]:
    """Train a variant for two epochs, unless ``shared`` says otherwise."""
    data, settings = info(zoo.N_X, zoo.N_Y, zoo.USERS), zoo.settings_of(model, variant)
    chosen = shared_settings(**{"device": device.type, "epochs": 2, "patience": 9, **shared})
    network = network or build(model, settings, data, 1)
    built = sequences(zoo.HISTORIES, zoo.N_X, profiles=data.profiles)
    result = train(network, built, data, settings, chosen, device, checkpoints)
    network.load_state_dict(result.weights)
    return network, result


def ranked(network: Recommender, device: torch.device) -> Ranks:
    """Rank all held-out targets under both protocols."""
    data = info(zoo.N_X, zoo.N_Y, zoo.USERS)
    built = sequences(zoo.HISTORIES, zoo.N_X, profiles=data.profiles)
    held_out = built.take(built.split != TRAIN)
    domains = [range(6) if target < 6 else range(6, 11) for target in held_out.target]
    negatives = [
        np.array([item for item in domain if item != target][:3])
        for domain, target in zip(domains, held_out.target, strict=True)
    ]
    return rank_targets(network, held_out, data, network.settings.history_length, 4, device, True, negatives)


def steps_on(model: str, variant: str, device: torch.device, **shared: Any) -> Steps:
    """The steps of a training, with the model on the device."""
    data, settings = info(zoo.N_X, zoo.N_Y, zoo.USERS), zoo.settings_of(model, variant)
    network = build(model, settings, data, 1).to(device).train()
    chosen = shared_settings(device=device.type, **shared)
    return Steps(network, sequences(zoo.HISTORIES, zoo.N_X, profiles=data.profiles), data, settings, chosen, device)


def trains(model: str) -> bool:
    return find_model(model).recommender.objective != "counts"
