"""Items that a step of a sampled softmax reads: negatives shared by the batch, and how likely each was drawn.

Memory and time of such a step do not depend on the number of items: it looks up the rows of the histories, the targets
and the negatives, and no others. Shape legend: B batch, L history length, M targets, K uniform negatives of a domain,
S items drawn of a domain, R rows looked up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lecdsr.data.batch import SequenceBatch, distinct, true_places
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws


class DomainSample(NamedTuple):
    """Items of one domain that the targets of a batch are compared with.

    Args:
        items: ``[S]`` item ids, ascending: the targets of the batch, of all processes, and K uniform items.
        correction: ``[S]`` -log of the probability that the item is drawn; -inf for a repeated one.
        targets: ``[M]`` places of the targets of this domain, in the flattened batch.
        own: ``[M]`` place of each target in ``items``.
    """

    items: Tensor
    correction: Tensor
    targets: Tensor
    own: Tensor


class BatchItems(NamedTuple):
    """The items that a step reads, and where they are among the rows that it looks up.

    Args:
        ids: ``[R]`` item ids, padding included.
        history: ``[B, L]`` row of each item of the histories.
        keys: for each domain ``[S]``, the row of each item drawn.
        domains: the items drawn of X and of Y.
    """

    ids: Tensor
    history: Tensor
    keys: tuple[Tensor, Tensor]
    domains: tuple[DomainSample, DomainSample]


def sample_items(batch: SequenceBatch, info: DatasetInfo, shares: Tensor, count: int, draws: Draws) -> BatchItems:
    """Draw the negatives of a batch and collect the items that a step reads.

    Args:
        batch: histories and targets.
        info: sizes of the data set.
        shares: ``[N]`` share of each item in the training interactions of its domain, see :func:`domain_shares`.
        count: K, uniform negatives of each domain, drawn with replacement.
        draws: source of randomness.
    """
    x, y = (_sample_domain(batch, info.items_of(domain), domain, shares, count, draws) for domain in (0, 1))
    history = batch.histories.sequence
    ids, row = distinct(torch.cat([x.items, y.items, history.flatten()]))
    of_x, of_y, of_history = torch.split(row, [len(x.items), len(y.items), history.numel()])
    return BatchItems(ids, of_history.view(history.shape), (of_x, of_y), (x, y))


def samples_items(settings: Any, low_rate: bool, info: DatasetInfo) -> bool:
    """Whether a step draws the items of its softmax.

    With ``sampled_then_full`` a domain of no more items than ``negatives`` is scored whole from the beginning, which
    costs less there.

    Args:
        settings: settings of the model, with ``loss`` and ``negatives``.
        low_rate: whether the learning rate is low.
        info: sizes of the data set.
    """
    worth_it = not low_rate and settings.negatives < min(info.n_x, info.n_y)
    return settings.loss == "sampled" or (settings.loss == "sampled_then_full" and worth_it)


def domain_shares(info: DatasetInfo) -> Tensor:
    """``[N]`` share of each item in the training interactions of its domain."""
    counts = info.train_counts.double()
    parts = [counts[info.items_of(domain)] for domain in (0, 1)]
    return torch.cat([part / part.sum().clamp(min=1) for part in parts])


def _sample_domain(
    batch: SequenceBatch, items: slice, domain: int, shares: Tensor, count: int, draws: Draws
) -> DomainSample:
    size = items.stop - items.start
    inside = (batch.targets >= items.start) & (batch.targets < items.stop)
    places = true_places(inside, batch.in_domain and batch.in_domain[domain])  # [M]
    targets = batch.targets.flatten()[places]
    negatives = (draws.shared(count) * size).long() + items.start  # [K]
    of_batch = draws.of_all(targets)  # [M of all processes]
    drawn, repeated = _ascending(torch.cat([of_batch, negatives]))  # [S] both
    correction = -inclusion_log_probability(shares[drawn], len(of_batch), count, size).to(torch.float32)
    correction = correction.masked_fill(repeated, float("-inf"))
    return DomainSample(drawn, correction, places, torch.searchsorted(drawn, targets))


def inclusion_log_probability(shares: Tensor, targets: int, count: int, size: int) -> Tensor:
    """``[S]`` log of the probability that an item is among the targets of a batch or its uniform negatives.

    ``1 - exp(-M p) (1 - 1/N)^K`` for M targets, taken as draws by the shares p of the training interactions, and K
    uniform draws with replacement from N items.

    Args:
        shares: ``[S]`` p of each item.
        targets: M.
        count: K.
        size: N, at least 1.
    """
    missed = -targets * shares
    if count:
        missed = missed + count * torch.log1p(torch.tensor(-1 / size, dtype=shares.dtype)) if size > 1 else missed - 1e9
    return torch.log(-torch.expm1(missed).clamp(max=-1e-12))


def _ascending(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Sort ids; return them and whether each repeats the one before.

    On a CPU repeated ids are removed; on a GPU they stay, since their number is only known on the device.
    """
    if ids.device.type == "cpu":
        found = torch.unique(ids)
        return found, torch.zeros_like(found, dtype=torch.bool)
    return _with_repeats(ids)


def _with_repeats(ids: Tensor) -> tuple[Tensor, Tensor]:
    found = ids.sort().values
    repeated = torch.zeros_like(found, dtype=torch.bool)
    repeated[1:] = found[1:] == found[:-1]
    return found, repeated
