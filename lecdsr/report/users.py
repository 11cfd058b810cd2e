"""Data of the user browser in the report: histories, profiles, recommendations and explanations, ready for JSON.

Recommendations use only what the model could read before the user's last test target, as in the stage `evaluate`, so
that the true next item can be marked in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import track
from lecdsr.core.schemas import SECONDS_PER_DAY, TEST
from lecdsr.data.batch import Histories
from lecdsr.recommend.recommender import PairRecommender

#: Type of the function that :meth:`Recommender.scorer` returns.
Score = Callable[[Histories, slice], Tensor]

BATCH = 64


class Wanted(NamedTuple):
    """Numbers of users, of recommendations per domain, and of most similar history items per recommendation."""

    users: int
    top_k: int
    nearest: int


class Moment(NamedTuple):
    """Moment before a user's next item: ``shown`` is their whole history, ``read`` the part that the model may read.

    ``shown`` and ``read`` are half-open intervals of rows of the interactions; ``next`` is the row of the next item,
    ``None`` for a user without test target.
    """

    user: int
    shown: tuple[int, int]
    read: tuple[int, int]
    next: int | None


def moments(interactions: pa.Table, windows: pa.Table, n_users: int, wanted: int) -> list[Moment]:
    """Choose ``wanted`` users, evenly spread over those with a test target, then over the others."""
    user = interactions["user"].to_numpy()
    first, last = (np.searchsorted(user, np.arange(n_users), side) for side in ("left", "right"))
    tests = windows.filter(pc.equal(windows["split"], TEST)).sort_by("end").to_pydict()
    # A later window of the same user replaces an earlier one.
    window = dict(zip(tests["user"], zip(tests["start"], tests["end"], strict=True), strict=True))
    chosen = [int(one) for one in spread(np.array(sorted(window), np.int64), wanted)]
    others = np.setdiff1d(np.arange(n_users), list(window))
    chosen += [int(one) for one in spread(others, wanted - len(chosen))]
    found = []
    for one in sorted(chosen):
        rows = (int(first[one]), int(last[one]))
        if one in window:
            start, end = window[one]
            found.append(Moment(one, (rows[0], end - 1), (start, end - 1), end - 1))
        else:
            found.append(Moment(one, rows, rows, None))
    return found


def spread(values: IntArray, count: int) -> IntArray:
    """Choose ``count`` evenly spaced values, including the first and the last; all values if there are fewer."""
    if count >= len(values):
        return values
    return values[np.linspace(0, len(values) - 1, max(0, count)).astype(np.int64)]


@dataclass
class Items:
    """Items that the page names, each once, identified by their position in ``rows``."""

    table: pa.Table
    place: dict[int, int] = field(default_factory=dict)

    def __call__(self, item: int) -> int:
        """Return the position of an item, adding it if it is new."""
        return self.place.setdefault(int(item), len(self.place))

    def rows(self) -> list[list[Any]]:
        """Domain, ASIN, title and categories of every item on the page."""
        named = self.table.take(list(self.place)).to_pydict()
        columns = (named[name] for name in ("domain", "asin", "title", "categories"))
        return [
            [domain, asin, title or "", " › ".join(path or ())]
            for domain, asin, title, path in zip(*columns, strict=True)
        ]


def browse(recommender: PairRecommender, windows: pa.Table, ranks: pa.Table, wanted: Wanted) -> dict[str, Any]:
    """Collect the data of the user browser.

    Args:
        recommender: the model that recommends, and its pair.
        windows: table ``WINDOWS``.
        ranks: table ``RANKS`` of the model.
        wanted: numbers of users, recommendations and similar items.

    Returns:
        ``items`` (see :meth:`Items.rows`) and ``users``. Items are given by their position in ``items``, days as days
        since 1970-01-01. A similar item is a pair of a position in the history and a cosine.
    """
    items = Items(recommender.items)
    chosen = moments(recommender.interactions, windows, len(recommender.users), wanted.users)
    rank = _ranks(ranks)
    explain = Explain(recommender, items, wanted.nearest)
    score = recommender.network.scorer()
    users = []
    batches = [chosen[at : at + BATCH] for at in range(0, len(chosen), BATCH)]
    for batch in track(batches, "users of the report"):
        both = [_recommended(recommender, score, batch, domain, wanted.top_k) for domain in (0, 1)]
        for place, moment in enumerate(batch):
            user = _user(recommender, moment, items, rank)
            user["recommended"] = [explain(moment, domain[place]) for domain in both]
            users.append(user)
    return {"items": items.rows(), "users": users}


def _ranks(ranks: pa.Table) -> dict[tuple[int, int], float]:
    tests = ranks.filter(pc.equal(ranks["split"], TEST)).to_pydict()
    return dict(zip(zip(tests["user"], tests["target"], strict=True), tests["rank_full"], strict=True))


def _user(
    recommender: PairRecommender, moment: Moment, items: Items, rank: dict[tuple[int, int], float]
) -> dict[str, Any]:
    had, times = _rows(recommender, *moment.shown)
    user: dict[str, Any] = {
        "reviewer": recommender.users["reviewer"][moment.user].as_py(),
        "profile": recommender.profiles.get(moment.user, ""),
        "history": [[items(one), int(time // SECONDS_PER_DAY)] for one, time in zip(had, times, strict=True)],
    }
    if moment.next is not None:
        (target,), (time,) = _rows(recommender, moment.next, moment.next + 1)
        user["next"] = [items(target), int(time // SECONDS_PER_DAY)]
        user["rank"] = rank.get((moment.user, int(target)))
    return user


def _rows(recommender: PairRecommender, start: int, end: int) -> tuple[IntArray, IntArray]:
    """Return items and times of the rows ``start`` … ``end``-1 of the interactions."""
    items, times = (recommender.interactions[name].slice(start, end - start).to_numpy() for name in ("item", "time"))
    return items.astype(np.int64), times.astype(np.int64)


class Best(NamedTuple):
    """Best items of a domain at one moment, their scores, and the history that the model read."""

    items: list[int]
    scores: list[float]
    read: Histories


@torch.no_grad()
def _recommended(recommender: PairRecommender, score: Score, batch: list[Moment], domain: int, k: int) -> list[Best]:
    """Return the ``k`` best items of a domain for each moment; owned items are excluded."""
    here = recommender.info.items_of(domain)
    histories = _histories(recommender, batch, domain)
    scores = score(histories, here)  # [B, N_domain]
    found = []
    for place, moment in enumerate(batch):
        had, _ = _rows(recommender, *moment.shown)
        own = scores[place].clone()
        own[torch.from_numpy(had[(had >= here.start) & (had < here.stop)] - here.start)] = float("-inf")
        # A stable sort keeps equal scores in the order of their ids, so that the same run gives the same page.
        top = torch.sort(own, descending=True, stable=True)
        count = min(k, int(torch.isfinite(own).sum()))
        read = histories.rows(slice(place, place + 1))
        found.append(Best((top.indices[:count] + here.start).tolist(), top.values[:count].tolist(), read))
    return found


def _histories(recommender: PairRecommender, batch: list[Moment], domain: int) -> Histories:
    """Build the histories that the model reads for a domain, up to the next item of each user."""
    rows, seen = [], []
    for moment in batch:
        items, times = _rows(recommender, *moment.read)
        read = recommender.reads(items, domain)
        rows.append((items[read], times[read]))
        seen.append(times)
    next_time = np.array([_time_of_next(recommender, moment) for moment in batch], np.int64)
    return recommender.histories([moment.user for moment in batch], rows, domain, seen, next_time)


def _time_of_next(recommender: PairRecommender, moment: Moment) -> int:
    """Return the time of the next item, which a profile must not have seen; without one, the end of time."""
    if moment.next is None:
        return int(np.iinfo(np.int32).max)
    return int(recommender.interactions["time"][moment.next].as_py())


class Explain:
    """Explanation of recommendations by the most similar items that the model read, and by the parts of the score."""

    @torch.no_grad()
    def __init__(self, recommender: PairRecommender, items: Items, nearest: int) -> None:
        self.recommender, self.items, self.nearest = recommender, items, nearest
        self.directions = recommender.network.item_directions()
        self.parts = recommender.network.key_parts()
        self.rerank, self.bias = recommender.network.rerank_term(), recommender.bias if self.parts else None

    @torch.no_grad()
    def __call__(self, moment: Moment, best: Best) -> list[dict[str, Any]]:
        """Return the recommendations of one domain in the form that the page's script reads."""
        query = self.recommender.network.queries(best.read)[0] if self.parts and best.items else None  # [d]
        found = []
        for item, score in zip(best.items, best.scores, strict=True):
            one: dict[str, Any] = {"item": self.items(item), "score": _short(score)}
            if near := self._nearest(moment, item, best.read):
                one["near"] = near
            if self.parts and query is not None:
                one["parts"] = {name: _short(float(query @ keys[item])) for name, keys in self.parts.items()}
                if self.bias is not None:
                    one["parts"][self.recommender.network.bias_name] = _short(float(self.bias[item]))
                if self.rerank is not None:
                    one["parts"]["profile"] = _short(float(self.rerank(best.read, slice(item, item + 1)).sum()))
            found.append(one)
        return found

    def _nearest(self, moment: Moment, item: int, read: Histories) -> list[list[float]]:
        """Find the most similar history items: positions in the history shown and cosines, most similar first."""
        if self.directions is None or not self.nearest:
            return []
        had, _ = _rows(self.recommender, *moment.shown)
        known = np.isin(had, read.sequence[0].numpy())
        known[: moment.read[0] - moment.shown[0]] = False
        places = np.flatnonzero(known)
        cosine = (self.directions[torch.from_numpy(had[places])] @ self.directions[item]).numpy()
        best = np.argsort(-cosine, kind="stable")[: self.nearest]
        return [[int(places[one]), round(float(cosine[one]), 2)] for one in best]


def _short(value: float) -> float:
    """Round to the four significant digits that the page shows."""
    return float(f"{value:.4g}")
