"""Ranks of targets by blocked matrix products: all items of the target's domain, then a sample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.arrays import expand
from lecdsr.core.console import track
from lecdsr.core.errors import UserError
from lecdsr.data.batch import Gatherer
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import Recommender


@dataclass(frozen=True)
class Ranks:
    """Rank of the target of each window, ``[W]``; 1 is best, ties count half. ``sampled`` may be absent."""

    full: NDArray[np.float32]
    sampled: NDArray[np.float32] | None


def rank(scores: Tensor, target: Tensor) -> Tensor:
    """1 + items scored higher + half of those scored the same.

    Args:
        scores: ``[B, N]``; ``-inf`` leaves an item out.
        target: ``[B]`` columns of the targets.

    Returns:
        ``[B]`` ranks, float32.

    Raises:
        UserError: a score is NaN.
    """
    if torch.isnan(scores.amax(dim=1)).any():  # NaN passes through a maximum
        raise UserError("the model gives NaN as a score", do="lower its learning rate and train it again")
    own = scores.gather(1, target.unsqueeze(1))  # [B, 1]
    # Ones added up as numbers are six times as fast as truth values counted, and exact to 2^24 items.
    found = torch.empty_like(scores, dtype=torch.float32)
    greater = torch.gt(scores, own, out=found).sum(dim=1)
    equal = torch.eq(scores, own, out=found).sum(dim=1) - 1  # but for the target itself
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
) -> Ranks:
    """Rank the target of every window against all items of its domain, and against its negatives.

    Args:
        model: scores histories against items; put into evaluation mode here.
        sequences: windows of validation or test.
        catalogue: sizes of the domains.
        length: items of history that the model reads.
        batch_size: targets scored at once.
        device: where to compute.
        exclude_history: leave out of the full ranking what the user had before the target.
        negatives: for each window the items of the sampled protocol; ``None`` skips it.
        label: text of the progress bar.
    """
    model.eval()
    gatherer = Gatherer(sequences, length, info.n_x, info.padding, device)
    score = model.scorer()
    full = np.zeros(len(sequences), np.float32)
    sampled = None if negatives is None else np.zeros(len(sequences), np.float32)
    for domain, windows in track(list(batches_by_domain(sequences, info, batch_size)), label):
        items = info.items_of(domain)
        chosen = sequences.take(windows)
        histories = gatherer.histories(chosen.user, chosen.start, chosen.end - 1)
        scores = score(histories, items)  # [B, N_domain]
        target = torch.from_numpy(chosen.target - items.start).to(device)
        if sampled is not None and negatives is not None:
            some = [negatives[window] for window in windows]
            sampled[windows] = _rank_among(scores, target, some, items.start).cpu().numpy()
        if exclude_history:
            _leave_out_history(scores, target, chosen, items)
        full[windows] = rank(scores, target).cpu().numpy()
    return Ranks(full, sampled)


def batches_by_domain(
    sequences: Sequences, info: DatasetInfo, batch_size: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Windows of one domain at a time, since a batch shares one matrix of keys."""
    in_y = sequences.target >= info.n_x
    for domain in (0, 1):
        windows = np.flatnonzero(in_y == bool(domain))
        for first in range(0, len(windows), batch_size):
            yield domain, windows[first : first + batch_size]


def _rank_among(scores: Tensor, target: Tensor, negatives: list[NDArray[np.int64]], offset: int) -> Tensor:
    """Ranks of the targets among their negatives, taken from scores ``[B, N_domain]`` that are there already."""
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
    """Set to -inf what each user had before the target, in place; the target itself stays."""
    own = scores.gather(1, target.unsqueeze(1))
    scores[history_places(chosen, items, scores.device)] = float("-inf")
    scores.scatter_(1, target.unsqueeze(1), own)


def history_places(chosen: Sequences, items: slice, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns, in scores ``[B, N_items]`` of a range of items, of what each user had before the target."""
    place, row = expand(chosen.seen_start, chosen.target_row)
    item = chosen.seen_items[row]
    inside = (item >= items.start) & (item < items.stop)
    rows, columns = torch.from_numpy(place[inside]), torch.from_numpy(item[inside] - items.start)
    return rows.to(device), columns.to(device)
