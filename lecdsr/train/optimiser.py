"""Optimisers of a model: AdamW for all weights, except for tables of which a step reads only a few rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lecdsr.core.errors import UserError
from lecdsr.models.base import Recommender
from lecdsr.train.settings import SharedSettings
from lecdsr.train.sharded import shard_like, weights_to_shard

#: Least warm-up steps of a training whose learning rate falls linearly: without them tandem ended 3 % lower.
LINEAR_WARMUP = 50


def falls_linearly(settings: Any, steps_per_epoch: int) -> bool:
    """Return whether the learning rate falls linearly, and not in steps.

    On small data steps are better: on the demo, where six epochs make 114 steps, a linear fall over 300 or 760 steps
    ended 3 % lower.
    """
    if settings.lr_schedule == "auto":
        return bool(settings.linear_epochs * steps_per_epoch >= settings.linear_steps)
    return bool(settings.lr_schedule == "linear")


class Optimisers:
    """One or two optimisers that step together, with a linear warm-up of the learning rate.

    Args:
        model: the model to train.
        settings: its settings, with ``learning_rate`` and ``weight_decay``.
        shared: settings of all models.
        steps_per_epoch: steps of an epoch.

    Raises:
        UserError: ``shared.tables`` does not suit the model.
    """

    def __init__(self, model: Recommender, settings: Any, shared: SharedSettings, steps_per_epoch: int) -> None:
        self.rate: float = settings.learning_rate
        linear = falls_linearly(settings, steps_per_epoch)
        self.warmup_steps = max(shared.warmup_steps, LINEAR_WARMUP if linear else 0)
        by_rows = _row_tables(model) if shared.tables == "rows" else []
        # Apart even if this process is alone, so that it can read the checkpoint of several.
        sharded = weights_to_shard(model) if shared.tables == "sharded" else []
        tables = by_rows + sharded
        ids = {id(table) for table in tables}
        rest = [parameter for parameter in model.parameters() if id(parameter) not in ids]
        self._all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=self.rate, weight_decay=settings.weight_decay, fused=True)
        ]
        if by_rows:
            self._all.append(torch.optim.SparseAdam(by_rows, lr=self.rate))
        if sharded:
            self._all.append(torch.optim.AdamW(sharded, lr=self.rate, weight_decay=settings.weight_decay, fused=True))

    def zero_grad(self) -> None:
        """Drop the gradients of the last step."""
        for optimiser in self._all:
            optimiser.zero_grad(set_to_none=True)

    def step(self, steps_taken: int, rate_factor: float = 1.0) -> None:
        """Update the weights from their gradients.

        Args:
            steps_taken: steps since training began, without this one; they decide the warm-up.
            rate_factor: factor of the learning rate, below 1 after a learning-rate decay.
        """
        rate = self.rate * rate_factor
        if self.warmup_steps:
            rate *= min(1.0, (steps_taken + 1) / self.warmup_steps)
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the moments and step counts as flat tensors, named ``OPTIMISER.WEIGHT.NAME``."""
        found: dict[str, Tensor] = {}
        for which, optimiser in enumerate(self._all):
            for place, values in optimiser.state_dict()["state"].items():
                for name, value in values.items():
                    found[f"{which}.{place}.{name}"] = torch.as_tensor(value)
        return found

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned."""
        for which, optimiser in enumerate(self._all):
            weights = [weight for group in optimiser.param_groups for weight in group["params"]]
            whole = optimiser.state_dict()
            whole["state"] = {}
            for key, value in state.items():
                owner, place, name = key.split(".", 2)
                if int(owner) == which:
                    # SparseAdam keeps its step count as a plain number.
                    plain = isinstance(optimiser, torch.optim.SparseAdam) and name == "step"
                    kept = int(value) if plain else shard_like(weights[int(place)], value)
                    whole["state"].setdefault(int(place), {})[name] = kept
            optimiser.load_state_dict(whole)


def _row_tables(model: Recommender) -> list[Tensor]:
    """Return the tables of which a step reads few rows, after switching their gradients to sparse.

    Raises:
        UserError: the model's loss reads every row.
    """
    tables = model.row_tables()
    if not tables:
        raise UserError(
            f"with these settings {type(model).__name__} scores all items in every step, so every row of its tables is "
            "updated and tables: rows saves nothing",
            where="train.shared.tables",
            do="set it to dense",
            code="all-rows",
        )
    for table in tables:
        table.sparse = True
    return [table.weight for table in tables]
