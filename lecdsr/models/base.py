"""The base class of all recommenders, the parts of their losses, and the settings they have in common.

Shape legend: B batch, N items of both domains, d width of the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lecdsr.config.schema import Block
from lecdsr.data.batch import Histories
from lecdsr.data.negatives import Draws
from lecdsr.data.sequences import Sequences


@dataclass(frozen=True)
class LossTerm:
    """One part of a training loss, before it becomes a mean.

    Sum and count are kept apart because several processes may hold a share of the batch each: their mean
    is the sum of all sums over the sum of all counts.

    Args:
        total: scalar, summed over the batch.
        count: what it is a mean over; ``None`` leaves the sum, as the published ranking loss is one.
        weight: factor in the loss.
    """

    total: Tensor
    count: int | None
    weight: float = 1.0

    def times(self, weight: float) -> LossTerm:
        """The same part with another weight."""
        return replace(self, weight=weight)

    def value(self) -> Tensor:
        """What it adds to the loss where the whole batch is here."""
        return self.weight * self.total / (1 if self.count is None else max(1, self.count))


class Recommender(nn.Module):
    """A model in two-tower form: score(history, item) = query · key + bias.

    Ranking a whole catalogue is then one matrix product. A model that is no product of two towers
    overrides :meth:`scorer`, which is all that ranking and recommending call.
    """

    #: ``prefix``: one sample per training target; ``sequence``: one per window, a loss at every
    #: position; ``counts``: nothing to train, :meth:`count` is called once instead.
    objective: str = "prefix"

    def row_tables(self) -> list[nn.Embedding]:
        """Tables of which a step touches few rows, all others being read through them too; empty if there are none."""
        return []

    def scorer(self) -> Callable[[Histories, slice], Tensor]:
        """A function of a batch and a slice of item ids that gives their scores ``[B, N_slice]``.

        What is the same for every history is computed here, once, and not for every batch.
        """
        keys, bias = self.keys()
        return lambda histories, items: torch.addmm(bias[items], self.queries(histories), keys[items].T)

    def count(self, training: Sequences) -> None:
        """Fill the buffers of a model that counts from the training windows; else nothing."""

    def queries(self, histories: Histories) -> Tensor:
        """``[B, d]``, one query a history."""
        raise TypeError(f"{type(self).__name__} does not define queries")

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, d]`` keys and ``[N]`` biases of all items."""
        raise TypeError(f"{type(self).__name__} does not define keys")

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """The parts of the training loss of a batch, by the name they have in the log."""
        raise TypeError(f"{type(self).__name__} does not define a loss")

    def loss(self, batch: object, draws: Draws) -> tuple[Tensor, dict[str, float]]:
        """Training loss of a whole batch and the value of each of its parts."""
        values = {name: term.value() for name, term in self.compute_loss(batch, draws).items()}
        return torch.stack(list(values.values())).sum(), {name: value.item() for name, value in values.items()}


# Settings that many models have, with their bounds and descriptions; each model gives them its own default.
HistoryLength = Annotated[int, Field(ge=1, description="Number of latest items of the history that the model reads.")]
BatchSize = Annotated[
    int,
    Field(ge=1, description="Samples per batch: training targets or whole sequences, depending on the model."),
]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate of AdamW.")]
WeightDecay = Annotated[float, Field(ge=0, description="Weight decay of AdamW.")]
Width = Annotated[int, Field(ge=1, description="Width of embeddings and hidden layers.")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="Dropout rate of activations during training.")]
HistoryDecay = Annotated[
    float,
    Field(gt=0, le=1, description="Weight of a history item relative to the next later one; 1 weights all equally."),
]


class ModelSettings(Block):
    """What a model reads of a history: how many items, of which domains, and in which order."""

    history_length: HistoryLength = 50
    domains: Literal["both", "own"] = Field(
        default="both",
        description="Interactions that the model is trained on and reads: `both` domains in one sequence, or only "
        "those of the target's `own` domain.",
    )
    order: Literal["time", "shuffled"] = Field(
        default="time",
        description="Order of a history: by `time`, or `shuffled` by the seed as a control. The targets of validation "
        "and test stay last.",
    )


class TrainedSettings(ModelSettings):
    """Settings of a model with trained weights: the batch size and the optimiser."""

    batch_size: BatchSize = 128
    learning_rate: LearningRate = 0.001
    weight_decay: WeightDecay = 0.0


class AttentionSettings(TrainedSettings):
    """Settings of a model with self-attention."""

    width: Width = 64
    heads: int = Field(default=2, ge=1, description="Number of attention heads; must divide `width`.")
    dropout: Dropout = 0.2

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"a number of heads that divides the width {self.width}, got {self.heads}")
        return self
