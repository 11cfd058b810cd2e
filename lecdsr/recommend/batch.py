"""Recommend to many users at once, in blocks of users and of items.

Memory is bounded by the size of a block of scores, however many users and items there are.

Shape legend: B users of a block, N items of a block, R interactions, k recommendations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.arrays import IntArray, expand
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, WINDOWS
from lecdsr.data.batch import Gatherer, Histories, HistoryProfiles, as_columns, to_device
from lecdsr.data.info import DatasetInfo
from lecdsr.data.profiles import history_profiles
from lecdsr.data.sequences import from_tables
from lecdsr.models.base import Recommender
from lecdsr.recommend.best import Best, best_of, merge

#: Scores a block of users and the items of a domain, one slice of them at a time.
Scores = Callable[[slice], Tensor]


@dataclass(frozen=True)
class Options:
    """What to recommend, and how much at once.

    Args:
        k: recommendations for each user and domain; fewer where a domain has fewer items left.
        domains: codes of the domains to recommend from.
        include_owned: keep items of the history, which are excluded otherwise.
        users_per_block: users scored at once.
        items_per_block: items scored at once.
    """

    k: int
    domains: Sequence[int] = (0, 1)
    include_owned: bool = False
    users_per_block: int = 1024
    items_per_block: int = 32_768


class Recommendations(NamedTuple):
    """Recommendations as columns of equal length ``[M]``, sorted by user (in the order given), domain and rank.

    ``place`` is the position of the user among those given, ``rank`` starts at 1.
    """

    place: IntArray
    domain: NDArray[np.int8]
    rank: IntArray
    item: IntArray
    score: NDArray[np.float32]


class UserHistories:
    """The whole histories of many users, on a device.

    Args:
        interactions: columns ``user``, ``item`` and ``time`` of ``INTERACTIONS``, sorted by user and time.
        info: sizes of the data set.
        history_length: latest items of a history that the model reads.
        domains: ``both``, or ``own`` for a model that reads the items of one domain only.
        device: where the model is.
    """

    def __init__(
        self, interactions: pa.Table, info: DatasetInfo, history_length: int, domains: str, device: torch.device
    ) -> None:
        self.info, self.device = info, device
        self.item = interactions["item"].to_numpy()  # [R]
        self._time = interactions["time"].to_numpy().astype(np.int64)  # [R]
        self.reads_own = domains == "own"
        owner = interactions["user"].to_numpy().astype(np.int64)
        self._owner = owner
        self._users = int(owner.max(initial=-1)) + 1
        self._bounds = self._bounds_of(owner)
        in_y = self.item >= info.n_x
        readings = [~in_y, in_y] if self.reads_own else [np.ones(len(in_y), bool)]
        self._readings = [
            (self._bounds_of(owner[rows]), self._gatherer(interactions.filter(pa.array(rows)), history_length))
            for rows in readings
        ]

    def _gatherer(self, interactions: pa.Table, length: int) -> Gatherer:
        sequences = from_tables(interactions, WINDOWS.empty_table())
        return Gatherer(sequences, length, self.info.n_x, self.info.padding, self.device)

    def _bounds_of(self, owner: IntArray) -> IntArray:
        """``[U+1]`` first row of each user among rows of ``owner``, and the end of the last one."""
        return np.searchsorted(owner, np.arange(self._users + 1))

    def _rows(self, bounds: IntArray, numbers: IntArray) -> tuple[IntArray, IntArray]:
        """``[B]`` first rows of users and the rows after their last; users after the last one known have none."""
        known = np.minimum(numbers, self._users)
        return bounds[known], bounds[np.minimum(known + 1, self._users)]

    def read(self, numbers: IntArray, domain: int, rows: IntArray) -> Histories:
        """What the model reads of the users ``numbers [B]`` for a domain; it knows them as ``rows [B]``."""
        bounds, gatherer = self._readings[domain if self.reads_own else 0]
        histories = gatherer.histories(rows, *self._rows(bounds, numbers))
        return replace(histories, domain=domain, profile=self._profiles(numbers, rows))

    def _profiles(self, numbers: IntArray, rows: IntArray) -> HistoryProfiles | None:
        """``[B, 1]`` latest profiles of users that the histories know as ``numbers`` and the profiles as ``rows``."""
        if self.info.profiles is None:
            return None
        bounds = self._rows(self._bounds, numbers)
        found = history_profiles(self.info.profiles, rows, self._owner, self._time, bounds)
        return as_columns(found, self.device)

    def owned(self, numbers: IntArray) -> Owned:
        """All items of the users ``numbers [B]``."""
        place, row = expand(*self._rows(self._bounds, numbers))
        item = self.item[row].astype(np.int64)
        order = np.argsort(item, kind="stable")
        places, items = (to_device(torch.from_numpy(part[order]), self.device) for part in (place, item))
        return Owned(item[order], places, items)


class Owned(NamedTuple):
    """Items of the users of a block, sorted by item: ``[M]`` ids here, and places in the block and ids on the device.

    They are sorted so that a block of items takes a slice of them, which needs no answer from the device.
    """

    ids: IntArray
    places: Tensor
    items: Tensor

    def exclude(self, scores: Tensor, items: slice) -> None:
        """Set scores ``[B, N]`` of owned items to -inf, in place."""
        low, high = np.searchsorted(self.ids, [items.start, items.stop])
        scores[self.places[low:high], self.items[low:high] - items.start] = float("-inf")


class BatchRecommender:
    """Recommends to many users at once; what does not depend on a user is computed once, here.

    Args:
        network: the model, on its device and in evaluation mode.
        info: the data set that it was built for.
        histories: of the users.
        options: what to recommend.

    Raises:
        UserError: a domain has no items.
    """

    @torch.no_grad()
    def __init__(self, network: Recommender, info: DatasetInfo, histories: UserHistories, options: Options) -> None:
        check_domains(info, options.domains)
        self.info, self.histories, self.options = info, histories, options
        self._two_tower = network.is_two_tower
        self._by_domain = histories.reads_own or network.queries_by_domain
        self._rerank = network.rerank_term()
        if self._two_tower:
            self._encode, (self._keys, self._bias) = network.query_encoder(), network.keys()
        else:
            self._score = network.scorer()

    def blocks(self, numbers: IntArray, rows: IntArray | None = None) -> Iterator[Recommendations]:
        """Yield the recommendations of each block of users.

        Args:
            numbers: ``[U]`` users of the histories, in any order.
            rows: ``[U]`` rows of the model's user tables; ``None`` if they are the same numbers.
        """
        rows, size = numbers if rows is None else rows, self.options.users_per_block
        for first in range(0, len(numbers), size):
            block = slice(first, first + size)
            found = self.recommend(numbers[block], rows[block])
            yield found._replace(place=found.place + first)

    @torch.no_grad()
    def recommend(self, numbers: IntArray, rows: IntArray) -> Recommendations:
        """Recommend to one block of users; see :meth:`blocks`.

        Raises:
            UserError: a score is NaN.
        """
        owned = None if self.options.include_owned else self.histories.owned(numbers)
        best = [self._best(scores, self.info.items_of(domain), owned) for domain, scores in self._scores(numbers, rows)]
        # The only answers that the device is waited for: one tensor of scores and one of items for each domain.
        return _columns([Best(*(part.cpu() for part in one)) for one in best], self.options.domains)

    def _scores(self, numbers: IntArray, rows: IntArray) -> Iterator[tuple[int, Scores]]:
        """The function that scores slices of items, for each domain; histories are read and encoded once."""
        histories: Histories | None = None
        for domain in self.options.domains:
            if histories is None or self._by_domain:
                histories = self.histories.read(numbers, domain, rows)
                queries = self._encode(histories) if self._two_tower else None  # [B, d]
            yield domain, self._scores_of(replace(histories, domain=domain), queries)

    def _scores_of(self, histories: Histories, queries: Tensor | None) -> Scores:
        if queries is None:
            return lambda items: self._score(histories, items)

        def scores(items: slice) -> Tensor:
            found = torch.addmm(self._bias[items], queries, self._keys[items].T)
            return found if self._rerank is None else found + self._rerank(histories, items)

        return scores

    def _best(self, scores: Scores, items: slice, owned: Owned | None) -> Best:
        """``[B, k]`` best items of a domain, one block of items after the other."""
        best: Best | None = None
        for first in range(items.start, items.stop, self.options.items_per_block):
            block = slice(first, min(first + self.options.items_per_block, items.stop))
            found = scores(block)  # [B, N]
            if owned is not None:
                owned.exclude(found, block)
            here = best_of(found, self.options.k, block.start)
            best = here if best is None else merge(best, here, self.options.k)
        assert best is not None  # check_domains
        return best


def check_domains(info: DatasetInfo, domains: Sequence[int] = (0, 1)) -> None:
    """Refuse to recommend from a domain without items.

    Raises:
        UserError: a domain has none.
    """
    for domain in domains:
        items = info.items_of(domain)
        if items.start == items.stop:
            raise UserError(
                f"domain {DOMAINS[domain]} has no items to recommend",
                where="sequences",
                do="loosen the filters of `sequences`, or recommend from the other domain only",
            )


def _columns(best: Sequence[Best], domains: Sequence[int]) -> Recommendations:
    """Put the results of all domains ``[B, k]`` into columns, without the places that excluded items took."""
    width = max(one.scores.shape[1] for one in best)
    users = len(best[0].scores)
    shape = (users, len(best), width)
    score, item = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int64)
    for place, one in enumerate(best):
        score[:, place, : one.scores.shape[1]] = one.scores.float().numpy()
        item[:, place, : one.items.shape[1]] = one.items.numpy()
    if np.isnan(score).any():  # NaN counts as the highest score, so none is missed
        raise UserError("the model gives NaN as a score", do="lower its learning rate and rerun training")
    user, domain, rank = (index.astype(np.int64) for index in np.nonzero(score > -np.inf))
    chosen = (user, domain, rank)
    codes = np.asarray(domains, np.int8)[domain]
    return Recommendations(user, codes, rank + 1, item[chosen], score[chosen])


def batch_recommender(
    network: Recommender,
    trained: Any,
    info: DatasetInfo,
    interactions: pa.Table,
    options: Options,
    device: torch.device,
) -> BatchRecommender:
    """Make a batch recommender from tables.

    Args:
        network: the model; it is moved to ``device``.
        trained: its settings.
        info: the data set that it was built for.
        interactions: of the users, sorted by user and time.
        options: what to recommend.
        device: where to compute.

    Raises:
        UserError: a domain has no items.
    """
    check_domains(info, options.domains)
    histories = UserHistories(interactions, info, trained.history_length, trained.domains, device)
    return BatchRecommender(network.to(device).eval(), info, histories, options)
