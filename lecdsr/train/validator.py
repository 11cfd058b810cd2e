"""Validation during training: one score per epoch, which selects the best epoch."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.arrays import expand
from lecdsr.core.schemas import DOMAINS
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.metrics import MONITOR, expected_reciprocal_rank, mean_over_users
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.base import Recommender, Scorer, StopBy
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.sharded import has_shards, rank_by_shards

#: Column of the training log with the score that selects the best epoch, unless the settings name another.
SCORE = f"valid_{MONITOR}"
#: Column for ``stop_by: sampled_mrr``, and negatives of that sampled ranking.
SAMPLED_MRR, NEGATIVES = "valid_sampled_mrr", 999
#: Most targets ranked at once, and most scores (256 MB in float32). Constants, because they change speed and memory but
#: no metric.
VALIDATION_BATCH = 512
_SCORES = 1 << 26
#: Most bytes of a rerank term that are kept between validations.
KEPT_TERM = 1 << 29


def validation_batch(info: DatasetInfo) -> int:
    """Return how many targets are ranked at once; their scores are the largest tensor of a validation."""
    return max(1, min(VALIDATION_BATCH, _SCORES // max(info.n_x, info.n_y, 1)))


class KeptTerm:
    """Keeps the rerank term of the validation targets from one validation to the next: training does not change it.

    On Food–Kitchen it takes nine times the arithmetic of the other scores.

    Args:
        most: bytes to keep; what is beyond is computed again each time.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._parts: dict[tuple[int, int, bytes], Tensor] = {}
        self._lock = threading.Lock()

    def of(self, term: Scorer) -> Scorer:
        """Return the same term, computed once for each batch of histories and slice of items."""

        def kept(histories: Histories, items: slice) -> Tensor:
            if histories.profile is None:
                return term(histories, items)
            key = (items.start, items.stop, histories.profile.row[:, -1].numpy().tobytes())
            found = self._parts.get(key)
            return self._keep(key, term(histories, items)) if found is None else found

        return kept

    def _keep(self, key: tuple[int, int, bytes], part: Tensor) -> Tensor:
        with self._lock:
            if part.nbytes <= self._left and key not in self._parts:
                self._left -= part.nbytes
                self._parts[key] = part
        return part


def kept_bytes(model: Recommender, info: DatasetInfo, valid: Sequences, device: torch.device) -> int:
    """Return the size of the rerank term that a validator keeps for some windows."""
    if device.type != "cpu" or has_shards(model) or model.rerank_term() is None:
        return 0
    in_x = int((valid.target < info.n_x).sum())
    return min(KEPT_TERM, 4 * (in_x * info.n_x + (len(valid) - in_x) * info.n_y))


class Validator:
    """Validator that ranks the validation targets with the current model; each process ranks its share of them.

    Args:
        model: the model in training.
        valid: windows of the validation split.
        info: sizes of the data set.
        history_length: number of latest history items that the model reads.
        device: where to compute.
        context: the processes that train together; ``None`` is this one alone.
        targets: rank only so many of the targets, drawn by the seed; ``None`` ranks all.
        seed: seed of that sample.
        stop_by: metric that selects the best epoch.
    """

    def __init__(
        self,
        model: Recommender,
        valid: Sequences,
        info: DatasetInfo,
        history_length: int,
        device: torch.device,
        context: DistributedContext | None = None,
        targets: int | None = None,
        seed: int = 0,
        stop_by: StopBy = "ndcg@10",
    ) -> None:
        self._model, self._info = model, info
        self._valid = valid if targets is None else sample_windows(valid, targets, seed)
        self._history_length, self._device = history_length, device
        self._context = context or DistributedContext()
        self._kept = KeptTerm(KEPT_TERM)
        #: Column of the training log that selects the best epoch.
        self.column = SCORE if stop_by == MONITOR else SAMPLED_MRR

    def __len__(self) -> int:
        """Number of targets that are ranked."""
        return len(self._valid)

    @property
    def windows(self) -> Sequences:
        """Windows of the targets that are ranked."""
        return self._valid

    def evaluate(self) -> dict[str, float]:
        """Compute NDCG@10 under full ranking: the mean over the domains, and the value for each domain with targets.

        With ``stop_by: sampled_mrr``, add the expected MRR among 999 negatives, averaged over the domains.
        """
        valid, ranks = self._valid, self._rank()
        in_y = valid.target >= self._info.n_x
        scores = {
            f"valid_{name}_{MONITOR}": mean_over_users(ranks[chosen], valid.user[chosen])[MONITOR]
            for code, name in enumerate(DOMAINS)
            if (chosen := in_y == bool(code)).any()
        }
        found = {SCORE: float(np.mean(list(scores.values()))), **scores}
        if self.column == SAMPLED_MRR:
            found[SAMPLED_MRR] = self._sampled_mrr(ranks, in_y)
        return found

    def _sampled_mrr(self, ranks: NDArray[np.float32], in_y: NDArray[np.bool_]) -> float:
        values = expected_reciprocal_rank(ranks.astype(np.float64), ranked_among(self._valid, self._info), NEGATIVES)
        return float(np.mean([values[chosen].mean() for chosen in (~in_y, in_y) if chosen.any()]))

    def _rank(self) -> NDArray[np.float32]:
        """Rank the target of every validation window, ``[W]``."""
        length, batch = self._history_length, validation_batch(self._info)
        if has_shards(self._model):
            return rank_by_shards(self._model, self._valid, self._info, length, batch, self._device, self._context)
        ranks = np.zeros(len(self._valid), np.float32)
        mine = self._context.share(len(self._valid))
        part = self._valid.take(np.arange(mine.start, mine.stop))
        rerank = self._model.rerank_term() if self._device.type == "cpu" else None
        kept = None if rerank is None else self._kept.of(rerank)
        ranks[mine] = rank_targets(self._model, part, self._info, length, batch, self._device, rerank=kept).full
        # Ranks of the other processes' windows are zero, so the sum gathers all ranks.
        gathered: NDArray[np.float32] = self._context.sum(torch.from_numpy(ranks).to(self._device)).cpu().numpy()
        return gathered


def ranked_among(valid: Sequences, info: DatasetInfo) -> NDArray[np.float64]:
    """Count the items that each target is ranked among in full: those of its domain that the user has not had yet."""
    window, row = expand(valid.seen_start, valid.target_row)
    item, target = valid.seen_items[row], valid.target[window]
    had = ((item >= info.n_x) == (target >= info.n_x)) & (item != target)
    distinct = np.unique(np.stack([window[had], item[had]]), axis=1)[0]
    size = np.where(valid.target >= info.n_x, info.n_y, info.n_x) - 1
    return (size - np.bincount(distinct, minlength=len(valid))).astype(np.float64)


def sample_windows(valid: Sequences, targets: int, seed: int) -> Sequences:
    """Draw some of the validation windows, in their order."""
    if targets >= len(valid):
        return valid
    chosen = np.random.default_rng([seed, len(valid)]).choice(len(valid), targets, replace=False)
    return valid.take(np.sort(chosen))
