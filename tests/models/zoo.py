"""Small models of every kind, and batches for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lecdsr.core.schemas import TRAIN
from lecdsr.data.batch import (
    Gatherer,
    Histories,
    HistoryProfiles,
    PrefixBatch,
    SequenceBatch,
    prefix_samples,
    recency,
    sequence_samples,
)
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model, model_names
from lecdsr.models.saved import build
from tests.models.settings import settings_for
from tests.tiny import info, sequences

N_X, N_Y, USERS, LENGTH = 6, 5, 4, 5
PADDING = N_X + N_Y
HISTORIES = [[0, 6, 1, 7, 2, 8, 3, 9], [10, 5, 4, 9, 3], [1, 2, 3, 4], [6, 0, 7, 10, 5, 2]]

#: Settings of sizes that are made small in every model that has them.
SMALL = {"width": 8, "heads": 2, "hidden": 12, "history_length": LENGTH, "batch_size": 4}
#: The same for models that must learn a toy dataset.
TOY = {
    **{"width": 32, "hidden": 32, "layers": 1, "dropout": 0.1},
    **{"history_length": 8, "batch_size": 8, "learning_rate": 0.01},
}
ALL = [(model, variant) for model in model_names() for variant in find_model(model).recommender.contract.variants]
#: One variant of each model.
ONE_EACH = list({model: (model, variant) for model, variant in reversed(ALL)}.values())
TRAINED = [(model, variant) for model, variant in ALL if find_model(model).recommender.objective != "counts"]
TOYS = [(model, toy) for model in model_names() for toy in find_model(model).recommender.contract.toys]


def settings_of(model: str, variant: str) -> Any:
    """Return the settings of a variant, with small sizes."""
    contract = find_model(model).recommender.contract
    return settings_for(model, **{**known(model, SMALL), **contract.settings, **contract.variants[variant]})


def toy_settings(model: str, toy: str) -> Any:
    """Return settings with which a model learns a toy dataset."""
    contract = find_model(model).recommender.contract
    return settings_for(model, **{**known(model, TOY), **contract.toys[toy]})


def known(model: str, values: dict[str, Any]) -> dict[str, Any]:
    """Select the values whose keys are settings of the model."""
    fields = find_model(model).settings.model_fields
    return {key: value for key, value in values.items() if key in fields}


def keeping(contract: str, cases: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """List the models and variants that declare no exception from a contract."""
    return [case for case in cases if not {case[1], "all"} & set(exceptions(case[0]).get(contract, ()))]


def exceptions(model: str) -> Mapping[str, tuple[str, ...]]:
    return find_model(model).recommender.contract.exceptions


def make(model: str, variant: str, seed: int = 0, data: DatasetInfo | None = None) -> Recommender:
    """Build a variant with weights drawn from ``seed``, or counted over ``HISTORIES``, in evaluation mode."""
    data = data or info(N_X, N_Y, USERS)
    network = build(model, settings_of(model, variant), data, seed).eval()
    network.count(sequences(HISTORIES, N_X).of_split(TRAIN))
    return network


def config_of(model: str, settings: Any, seed: int = 0) -> dict[str, Any]:
    """Return the config that is saved with the weights."""
    sizes = {"n_x": N_X, "n_y": N_Y, "n_users": USERS}
    return {"model": model, "settings": settings.model_dump(), "seed": seed, **sizes}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Draws:
    return Draws(seed)


def histories_for(model: Recommender) -> Histories:
    """Build a batch of all histories, including an empty one and a single item."""
    return batch_of([*HISTORIES, [], [7]], [0, 1, 2, 3, 0, 1], model.settings.history_length)


def row(histories: Histories, place: int) -> Histories:
    """Build a batch of one history."""
    return histories.rows(slice(place, place + 1))


def scores(network: Recommender, histories: Histories) -> torch.Tensor:
    """Score all items, ``[B, N]``, one domain at a time as in ranking."""
    score = network.scorer()
    found = [score(replace(histories, domain=domain), network.info.items_of(domain)) for domain in (0, 1)]
    return torch.cat(found, dim=1).detach()


def perturb(network: Recommender, scale: float = 0.3) -> Recommender:
    """Set all weights to a trained size, those of terms too, so that terms which vanish at the start are tested."""
    source = generator(99)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=source)
    if network.term_weights is not None:
        shape = network.term_weights.factors.shape
        network.term_weights.set(0.5 + torch.rand(shape, generator=source))
    return network


def batch_of(rows: list[list[int]], users: list[int], length: int = LENGTH) -> Histories:
    """Build histories from plain lists of items."""
    sequence = torch.full((len(rows), length), PADDING)
    for place, row in enumerate(rows):
        if row:
            sequence[place, -len(row) :] = torch.tensor(row[-length:])
    return histories_of(sequence, users)


def histories_of(sequence: torch.Tensor, users: list[int]) -> Histories:
    """Build histories of padded items, the latest item on day 9, the one before on day 8 and so on."""
    day = torch.arange(10 - sequence.shape[1], 10).expand_as(sequence)
    profile = profiles_of(users, sequence.shape[1])
    return Histories(sequence, recency(sequence, N_X, PADDING), torch.tensor(users), day, profile=profile)


def profiles_of(users: list[int], length: int) -> HistoryProfiles:
    """Let the next item read the second version, the two items before it the first, and earlier ones none."""
    known = info(N_X, N_Y, USERS).profiles
    row, age = torch.full((2, len(users), length), 0)
    row += known.unknown
    for place, user in enumerate(users):
        for back, version in enumerate((1, 0, 0)[:length]):
            if user < USERS - 1:
                row[place, -1 - back], age[place, -1 - back] = 2 * user + version, (user + back) % 3
    return HistoryProfiles(row, age)


def training_batch(model: Recommender, settings: Any, chosen: list[int] | None = None) -> PrefixBatch | SequenceBatch:
    """Build training samples of ``HISTORIES`` in the form that the model needs."""
    built = sequences(HISTORIES, N_X, profiles=model.info.profiles)
    gatherer = Gatherer(built, settings.history_length, N_X, PADDING, torch.device("cpu"))
    training = built.of_split(TRAIN)
    by_window = model.objective == "sequence"
    samples = sequence_samples(training, settings.history_length) if by_window else prefix_samples(training)
    samples = samples.take(np.arange(len(samples)) if chosen is None else np.array(chosen))
    return gatherer.sequences(samples) if by_window else gatherer.prefixes(samples)
