"""Validation during training: one score per epoch, which selects the best epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lecdsr.core.schemas import DOMAINS
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.metrics import MONITOR, mean_over_users
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.base import Recommender
from lecdsr.train.distributed import DistributedContext

#: Column of the training log with the score that selects the best epoch.
SCORE = f"valid_{MONITOR}"
#: Number of targets ranked at once. Their scores of all items of a domain are the largest tensor of a validation,
#: 200 MB for 100,000 items. Not a setting, because it changes speed and memory but no metric.
VALIDATION_BATCH = 512


class Validator:
    """Validator that ranks the validation targets with the current model; each process ranks its share of them.

    Args:
        model: the model in training.
        valid: windows of the validation split.
        info: sizes of the data set.
        history_length: number of latest history items that the model reads.
        device: where to compute.
        context: the processes that train together; ``None`` means only this one.
    """

    def __init__(
        self,
        model: Recommender,
        valid: Sequences,
        info: DatasetInfo,
        history_length: int,
        device: torch.device,
        context: DistributedContext | None = None,
    ) -> None:
        self._model, self._valid, self._info = model, valid, info
        self._history_length, self._device = history_length, device
        self._context = context or DistributedContext()

    def evaluate(self) -> dict[str, float]:
        """Compute NDCG@10 under full ranking: the mean over the domains, and the value for each domain with targets."""
        valid, ranks = self._valid, self._rank()
        in_y = valid.target >= self._info.n_x
        scores = {
            f"valid_{name}_{MONITOR}": mean_over_users(ranks[chosen], valid.user[chosen])[MONITOR]
            for code, name in enumerate(DOMAINS)
            if (chosen := in_y == bool(code)).any()
        }
        return {SCORE: float(np.mean(list(scores.values()))), **scores}

    def _rank(self) -> NDArray[np.float32]:
        """Rank the target of every validation window, ``[W]``."""
        ranks = np.zeros(len(self._valid), np.float32)
        mine = self._context.share(len(self._valid))
        part = self._valid.take(np.arange(mine.start, mine.stop))
        ranks[mine] = rank_targets(
            self._model, part, self._info, self._history_length, VALIDATION_BATCH, self._device
        ).full
        # Ranks of the other processes' windows are zero, so the sum gathers all ranks.
        gathered: NDArray[np.float32] = self._context.sum(torch.from_numpy(ranks).to(self._device)).cpu().numpy()
        return gathered
