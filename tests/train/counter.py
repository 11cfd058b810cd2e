"""A model with a single weight, whose validation ranks a test can script: what the schedules of training do to it."""

from typing import Any

import torch
from torch import Tensor

from lecdsr.data.batch import Histories
from lecdsr.data.negatives import Draws
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import LossTerm, Recommender
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import Rates, TrainingResult
from lecdsr.train.step import Steps
from lecdsr.train.trainer import train
from tests.models.settings import sasrec_settings, shared_settings
from tests.tiny import circle, info, sequences

N = 12  # items of each domain
CPU = torch.device("cpu")
WALKS = circle(N)
SETTINGS = sasrec_settings(
    width=32, layers=1, history_length=8, batch_size=8, learning_rate=0.01, dropout=0.1, item_text="none"
)


def shared(**changed: Any) -> SharedSettings:
    return shared_settings(**{"seed": 1, "device": "cpu", "epochs": 15, "patience": 15, "lr_decays": 0, **changed})


class Counter(Recommender):
    """Model with one weight that moves by about one learning rate per step; ``bad`` makes the loss not finite."""

    objective = "prefix"

    def __init__(self, bad: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.bad = bad

    def queries(self, histories: Histories) -> Tensor:
        return self.weight.expand(len(histories.user), 1)

    def keys(self) -> tuple[Tensor, Tensor]:
        return torch.zeros(2 * N, 1), torch.zeros(2 * N)

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        return {"all": LossTerm(self.weight.sum() + self.bad, None)}


def train_counter(
    built: Sequences | None = None,
    model: Counter | None = None,
    settings: Any = SETTINGS,
    schedule: list[Rates] | None = None,
    **changed: Any,
) -> TrainingResult:
    """Train the counter on walks, with some of the shared settings ``changed``."""
    data = built or sequences(WALKS, N)
    return train(model or Counter(), data, info(N, N), settings, shared(**changed), CPU, schedule=schedule)


STEPS_PER_EPOCH = Steps(Counter(), sequences(WALKS, N), info(N, N), SETTINGS, shared(), CPU).per_epoch
