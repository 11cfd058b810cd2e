"""A pair without held-out targets: every interaction is trained on, for a model that is used and not evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.schemas import SECONDS_PER_DAY, TRAIN, WINDOWS
from lecdsr.data.info import DatasetInfo

#: Key and value in the ``config.json`` of a model that was trained on everything.
TRAINED_ON, ALL = "trained_on", "all"


def windows_of_everything(interactions: pa.Table, windows: pa.Table) -> pa.Table:
    """One training window of each user, over all of their interactions.

    Args:
        interactions: table ``INTERACTIONS``.
        windows: table ``WINDOWS`` of the split; its training windows tell how many interactions precede a target.

    Returns:
        Table ``WINDOWS``; users with too few interactions for a target have no window.
    """
    user = interactions["user"].to_numpy()
    users, start, size = np.unique(user, return_index=True, return_counts=True)
    training = windows["split"].to_numpy() == TRAIN
    history = (windows["first_target"].to_numpy() - windows["start"].to_numpy())[training]
    min_history = int(history.min()) if len(history) else 1
    kept = size > min_history
    columns = {
        "split": np.full(int(kept.sum()), TRAIN),
        "user": users[kept],
        "start": start[kept],
        "first_target": start[kept] + min_history,
        "end": (start + size)[kept],
        "tied": np.zeros(int(kept.sum()), bool),
    }
    return pa.table(columns).cast(WINDOWS)


def info_of_everything(info: DatasetInfo, interactions: pa.Table) -> DatasetInfo:
    """The same sizes and vectors, with counts and days of all interactions and not of the training part alone."""
    counts = np.bincount(interactions["item"].to_numpy(), minlength=info.n_items)
    days = interactions["time"].to_numpy() // SECONDS_PER_DAY
    span = (int(days.min()), int(days.max())) if len(days) else (0, 0)
    return replace(info, train_counts=torch.from_numpy(counts.astype(np.int64)), train_days=span)


def is_production(config: Mapping[str, Any]) -> bool:
    """Whether a model was trained on everything, so that no metric of it means anything."""
    return config.get(TRAINED_ON) == ALL


def info_for(config: Mapping[str, Any], info: DatasetInfo, interactions: pa.Table) -> DatasetInfo:
    """What a saved model was built for: counts and days of what it was trained on.

    Args:
        config: ``config.json`` of the model.
        info: of the pair.
        interactions: columns ``item`` and ``time`` of ``INTERACTIONS``.
    """
    return info_of_everything(info, interactions) if is_production(config) else info
