"""Terms of a score whose weights are fitted on validation targets after training, and the recency of items.

A score is a weighted sum of terms, such as what was learned and an untrained similarity. How much each deserves depends
on the data: on how much of the catalogue is new, on how old what was learned is, on how good the texts are. So the
settings say where the weights start, and validation decides (:mod:`lecdsr.train.term_weights`).

Shape legend: J terms, N items.
"""

from __future__ import annotations

from collections.abc import Sequence as Names
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from lecdsr.core.arrays import expand
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences

#: Days in which the recency of an item falls from 0 to -log 2: a month.
RECENCY_DAYS = 30

TermWeighting = Annotated[
    Literal["fitted", "fixed"],
    Field(
        description="Weights of the terms of the score after training: `fitted` to the validation targets, separately "
        "in each domain, starting from those of the settings and with the recency of items as one more term "
        "(docs/model.md); or `fixed`, as the settings have them."
    ),
]


class TermWeights(nn.Module):
    """Factors of the terms for the items of each domain; 1 leaves a term as the settings have it.

    Args:
        names: of the terms.
        start: ``[J]`` factors before they are fitted.
        info: the dataset.
    """

    def __init__(self, names: Names[str], start: Names[float], info: DatasetInfo) -> None:
        super().__init__()
        self.names, self.n_x, self.n_items = tuple(names), info.n_x, info.n_items
        self.start = torch.tensor([list(start)] * 2, dtype=torch.float32)  # [2, J]
        self.register_buffer("factors", self.start.clone())
        self.register_buffer("recency", torch.zeros(info.n_items))  # [N]

    def of(self, name: str, items: slice | None = None) -> Tensor:
        """``[n]`` factors of a term for a range of items; ``None`` is all of them."""
        first, stop = (0, self.n_items) if items is None else (items.start, items.stop)
        in_y = torch.arange(first, stop, device=self._factors.device) >= self.n_x
        return self._factors[:, self.names.index(name)][in_y.long()]

    def bias(self, items: slice | None = None) -> Tensor:
        """``[n]`` weighted recency of a range of items; ``None`` is all of them."""
        return self.of("recency", items) * self.recency_of(items)

    def recency_of(self, items: slice | None = None) -> Tensor:
        """``[n]`` recency of a range of items; ``None`` is all of them."""
        recency = cast(Tensor, self.recency)
        return recency if items is None else recency[items]

    @property
    def _factors(self) -> Tensor:
        return cast(Tensor, self.factors)

    @torch.no_grad()
    def set(self, factors: Tensor) -> None:
        """Take the factors ``[2, J]``."""
        self._factors.copy_(factors)

    @torch.no_grad()
    def count(self, training: Sequences) -> None:
        """Compute the recency of the items from the training windows, see :func:`item_recency`."""
        cast(Tensor, self.recency).copy_(item_recency(training, self.n_items))


def item_recency(training: Sequences, n_items: int) -> Tensor:
    """Compute -log(1 + age / :data:`RECENCY_DAYS`), where age is days since the item was last seen in training.

    Age counts back from the last day of training. An item without training interactions is new, so that its age is 0.

    Args:
        training: windows of training.
        n_items: number of items N.

    Returns:
        ``[N]``, from 0 for an item of the last day downwards.
    """
    row = expand(training.start, training.end)[1]
    if not len(row):
        return torch.zeros(n_items)
    days, items = torch.from_numpy(training.days[row]), torch.from_numpy(training.items[row])
    end = int(days.max())
    last = torch.full((n_items,), -1, dtype=days.dtype).scatter_reduce(0, items, days, "amax")
    age = torch.where(last >= 0, end - last, 0)
    return -torch.log1p(age.float() / RECENCY_DAYS)
