"""Rank targets with batched matrix products: among all items of their domain, and among their sampled negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.arrays import expand
from lecdsr.core.console import track
from lecdsr.core.errors import UserError
from lecdsr.core.memory import free_memory
from lecdsr.data.batch import Gatherer
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Recommender, Scorer

#: A domain, and the windows of targets in it.
_Batch = tuple[int, NDArray[np.int64]]
#: Called with the windows ``[B]`` of a batch and their scores ``[B, N_domain]``, -inf where an item is excluded.
Observer = Callable[[NDArray[np.int64], Tensor], None]


@dataclass(frozen=True)
class Ranks:
    """Rank of each window's target, ``[W]``; 1 is best, ties count half. ``sampled`` may be absent."""

    full: NDArray[np.float32]
    sampled: NDArray[np.float32] | None


def rank(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the rank of each target: 1 + items scored higher + half of the items with the same score.

    Args:
        scores: ``[B, N]``; an item with score ``-inf`` is excluded.
        target: ``[B]`` columns of the targets.

    Returns:
        ``[B]`` ranks, float32.

    Raises:
        UserError: a score is NaN.
    """
    if torch.isnan(scores.amax(dim=1)).any():  # NaN passes through a maximum, so checking one value per row is enough
        raise UserError(
            "the model returns NaN as a score", do="lower its learning_rate and run `dvc repro`", code="nan-score"
        )
    own = scores.gather(1, target.unsqueeze(1))  # [B, 1]
    # Summing 0/1 floats is six times as fast as counting booleans, and exact up to 2^24 items.
    found = torch.empty_like(scores, dtype=torch.float32)
    greater = torch.gt(scores, own, out=found).sum(dim=1)
    equal = torch.eq(scores, own, out=found).sum(dim=1) - 1  # minus the target itself
    return 1 + greater + equal / 2


@torch.no_grad()
def rank_targets(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    length: int,
    batch_size: int,
    device: torch.device,
    exclude_history: bool = True,
    negatives: list[NDArray[np.int64]] | None = None,
    label: str = "ranking",
    observe: Observer | None = None,
    rerank: Scorer | None = None,
) -> Ranks:
    """Rank the target of every window among all items of its domain, and among its negatives.

    Args:
        model: scores histories against items; switched to evaluation mode.
        sequences: windows of validation or test.
        catalogue: sizes of the domains.
        length: number of latest history items that the model reads.
        batch_size: targets scored at once.
        device: where to compute.
        exclude_history: exclude the user's earlier items from the full ranking.
        negatives: items of the sampled ranking for each window; ``None`` skips it.
        label: text of the progress bar.
        observe: reads the scores of the full ranking, for example to keep the best items. On a processor several
            threads call it at once, each with other windows.
        rerank: the rerank term of the model, if the caller has it already.
    """
    model.eval()
    gatherer = Gatherer(sequences, length, info.n_x, info.padding, device)
    score = model.scorer(rerank)
    full = np.zeros(len(sequences), np.float32)
    sampled = None if negatives is None else np.zeros(len(sequences), np.float32)

    @torch.no_grad()  # of this thread
    def rank_batch(batch: _Batch) -> None:
        domain, windows = batch
        items = info.items_of(domain)
        chosen = sequences.take(windows)
        histories = replace(gatherer.histories(chosen.user, chosen.start, chosen.end - 1), domain=domain)
        scores = score(histories, items)  # [B, N_domain]
        target = torch.from_numpy(chosen.target - items.start).to(device)
        if sampled is not None and negatives is not None:
            some = [negatives[window] for window in windows]
            sampled[windows] = _rank_among(scores, target, some, items.start).cpu().numpy()
        if exclude_history:
            _leave_out_history(scores, target, chosen, items)
        full[windows] = rank(scores, target).cpu().numpy()
        if observe is not None:
            observe(windows, scores)

    batches = list(batches_by_domain(sequences, info, batch_size))
    _in_threads(rank_batch, batches, ranking_threads(info, batch_size, device), label)
    return Ranks(full, sampled)


def ranking_threads(info: DatasetInfo, batch_size: int, device: torch.device) -> int:
    """Return how many batches are ranked at once: one per thread of the CPU, if their scores fit into memory.

    On a busy machine threads that share an operation wait for each other at its end, and each batch has dozens of
    operations. Threads that have a batch each do not wait.
    """
    if device.type != "cpu":
        return 1
    scores = 2 * 4 * batch_size * max(1, info.n_x, info.n_y)  # bytes of the scores, and of their comparison
    return int(max(1, min(torch.get_num_threads(), free_memory() // 4 // scores)))


def _in_threads(work: Callable[[_Batch], None], batches: list[_Batch], threads: int, label: str) -> None:
    """Do the work of all batches, several at once, each by one thread."""
    if threads == 1 or len(batches) == 1:
        for batch in track(batches, label):
            work(batch)
        return
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in track(pool.map(work, batches), label, len(batches)):
                pass
    finally:
        torch.set_num_threads(before)


def batches_by_domain(sequences: Sequences, info: DatasetInfo, batch_size: int) -> Iterator[_Batch]:
    """Yield batches of windows of one domain each, because a batch shares one matrix of item keys."""
    in_y = sequences.target >= info.n_x
    for domain in (0, 1):
        windows = np.flatnonzero(in_y == bool(domain))
        for first in range(0, len(windows), batch_size):
            yield domain, windows[first : first + batch_size]


def _rank_among(scores: Tensor, target: Tensor, negatives: list[NDArray[np.int64]], offset: int) -> Tensor:
    """Compute the ranks of targets among their negatives from the scores of all items ``[B, N_domain]``."""
    width = max((len(row) for row in negatives), default=0)
    columns = np.full((len(negatives), width), -1, np.int64)
    for place, row in enumerate(negatives):
        columns[place, : len(row)] = row - offset
    column = torch.from_numpy(columns).to(scores.device)  # [B, K]
    picked = scores.gather(1, column.clamp(min=0))
    picked = picked.masked_fill(column < 0, float("-inf"))
    own = scores.gather(1, target.unsqueeze(1))
    return rank(torch.cat([own, picked], dim=1), torch.zeros_like(target))


def _leave_out_history(scores: Tensor, target: Tensor, chosen: Sequences, items: slice) -> None:
    """Set the scores of each user's earlier items to -inf in place, except for the target."""
    own = scores.gather(1, target.unsqueeze(1))
    scores[history_places(chosen, items, scores.device)] = float("-inf")
    scores.scatter_(1, target.unsqueeze(1), own)


def history_places(chosen: Sequences, items: slice, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the rows and columns of each user's earlier items in scores ``[B, n]`` of a range of items."""
    place, row = expand(chosen.seen_start, chosen.target_row)
    item = chosen.seen_items[row]
    inside = (item >= items.start) & (item < items.stop)
    rows, columns = torch.from_numpy(place[inside]), torch.from_numpy(item[inside] - items.start)
    return rows.to(device), columns.to(device)
