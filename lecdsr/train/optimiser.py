"""The optimisers of a model: AdamW over everything, or over all but tables of which a step touches few rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lecdsr.core.errors import UserError
from lecdsr.models.base import Recommender
from lecdsr.train.settings import SharedSettings


class Optimisers:
    """One or two optimisers that step together, with a linear warm-up of their learning rate."""

    def __init__(self, model: Recommender, settings: Any, shared: SharedSettings) -> None:
        self.rate: float = settings.learning_rate
        self.warmup = shared.warmup_steps
        #: Factor of the rate, lowered as training goes.
        self.scale = 1.0
        tables = _row_tables(model) if shared.tables == "rows" else []
        ids = {id(table) for table in tables}
        rest = [parameter for parameter in model.parameters() if id(parameter) not in ids]
        self._all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=self.rate, weight_decay=settings.weight_decay, fused=True)
        ]
        if tables:
            self._all.append(torch.optim.SparseAdam(tables, lr=self.rate))

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for optimiser in self._all:
            optimiser.zero_grad(set_to_none=True)

    def step(self, number: int) -> None:
        """Change the weights by their gradients; ``number`` counts the steps of the whole training from 0."""
        rate = self.rate * self.scale
        if self.warmup:
            rate *= min(1.0, (number + 1) / self.warmup)
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """What has to be kept to go on later, as flat tensors."""
        found: dict[str, Tensor] = {}
        for which, optimiser in enumerate(self._all):
            for place, values in optimiser.state_dict()["state"].items():
                for name, value in values.items():
                    found[f"{which}.{place}.{name}"] = torch.as_tensor(value)
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a state that :meth:`state` gave."""
        for which, optimiser in enumerate(self._all):
            whole = optimiser.state_dict()
            whole["state"] = {}
            for key, value in state.items():
                owner, place, name = key.split(".", 2)
                if int(owner) == which:
                    # SparseAdam counts its steps in a plain number.
                    plain = isinstance(optimiser, torch.optim.SparseAdam) and name == "step"
                    whole["state"].setdefault(int(place), {})[name] = int(value) if plain else value
            optimiser.load_state_dict(whole)


def _row_tables(model: Recommender) -> list[Tensor]:
    """The tables of a model whose losses touch few rows; their gradients are made sparse here.

    Raises:
        UserError: the model's losses touch every row.
    """
    tables = model.row_tables()
    if not tables:
        raise UserError(
            f"{type(model).__name__} with these settings scores all items at every step, so no row is left untouched",
            where="train.shared.tables",
            do="set it to dense",
        )
    for table in tables:
        table.sparse = True
    return [table.weight for table in tables]
