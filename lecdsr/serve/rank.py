"""Rank items for several requests at once: one product of queries and keys for each domain.

A product for one query reads all keys from memory to use each number once; for several queries it reads them once for
all, so requests that wait at the same time are answered together.

Shape legend: B requests, N items of a domain, d width of queries and keys, D width of text vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.data.batch import Histories
from lecdsr.recommend.best import Best, best_of
from lecdsr.serve.ann import Indexes
from lecdsr.serve.load import MARGIN, Coarse, LoadedExport

#: Scores in memory at once; a large catalogue makes batches smaller.
_MOST_SCORES = 16_000_000
_LARGEST_BATCH = 32
#: Pairs of a query and an item whose vectors are in memory at once.
_PAIRS = 8192


class Query(NamedTuple):
    """What to recommend to one user.

    Args:
        user: number of a user of the export; ``None`` for an anonymous user.
        items: ``[H]`` history of an anonymous user in time order.
        times: ``[H]`` times of the items, in seconds since 1970-01-01 UTC.
        domains: codes of the domains to recommend from.
        k: items in each domain.
        exclude_owned: leave out items of the history.
    """

    user: int | None
    items: IntArray
    times: IntArray
    domains: tuple[int, ...]
    k: int
    exclude_owned: bool


class Ranked(NamedTuple):
    """The best items of a domain, best first, and their scores."""

    items: list[int]
    scores: list[float]


def batch_size(export: LoadedExport) -> int:
    """Return how many requests are answered together at most."""
    info = export.recommender.info
    return max(1, min(_LARGEST_BATCH, _MOST_SCORES // max(1, info.n_x, info.n_y)))


@torch.inference_mode()
def rank(export: LoadedExport, indexes: Indexes | None, queries: Sequence[Query]) -> list[dict[int, Ranked]]:
    """Rank the items of each domain for every query; equal scores are in the order of item numbers.

    Args:
        export: the vectors and the model.
        indexes: nearest-neighbour indexes that propose items; ``None`` scores all.
        queries: B of them.

    Returns:
        For each query the best items by domain.

    Raises:
        UserError: a score is NaN.
    """
    found: list[dict[int, Ranked]] = [{} for _ in queries]
    encoded: Encoded | None = None
    for domain in (0, 1):
        places = [place for place, query in enumerate(queries) if domain in query.domains]
        if not places:
            continue
        if encoded is None or export.by_domain:
            encoded = _encode(export, queries, domain)
        asked, vectors = [queries[place] for place in places], _vectors(export, queries, encoded, domain)[places]
        phrases = _phrases(export, queries, encoded, domain)
        rows = (domain, vectors, [phrases[place] for place in places])
        best = _exact(export, asked, *rows) if indexes is None else _proposed(export, indexes, asked, *rows)
        for place, one in zip(places, best, strict=True):
            found[place][domain] = one
    return found


class Encoded(NamedTuple):
    """Anonymous users of a batch: their places, histories, and query vectors ``[A, d]``."""

    places: list[int]
    histories: Histories
    vectors: Tensor


def _encode(export: LoadedExport, queries: Sequence[Query], domain: int) -> Encoded | None:
    """Encode the histories of the anonymous users of a batch, if there are any."""
    places = [place for place, query in enumerate(queries) if query.user is None]
    if not places:
        return None
    recommender, rows = export.recommender, []
    for place in places:
        items, times = queries[place].items, queries[place].times
        read = recommender.reads(items, domain)
        rows.append((items[read], times[read]))
    users = [recommender.info.anonymous_user] * len(places)
    histories = recommender.histories(users, rows, domain, [queries[place].times for place in places])
    return Encoded(places, histories, export.encode(histories))


def _vectors(export: LoadedExport, queries: Sequence[Query], encoded: Encoded | None, domain: int) -> Tensor:
    """``[B, d]`` query vectors: those of known users are looked up."""
    vectors = torch.empty(len(queries), export.keys.shape[1])
    known = [place for place, query in enumerate(queries) if query.user is not None]
    if known:
        vectors[known] = export.queries[domain][[queries[place].user for place in known]]
    if encoded is not None:
        vectors[encoded.places] = encoded.vectors
    return vectors


def _phrases(
    export: LoadedExport, queries: Sequence[Query], encoded: Encoded | None, domain: int
) -> list[Tensor | None]:
    """Phrases ``[K, D]`` of each user for the rerank term; ``None`` where there are none."""
    if export.rerank is None:
        return [None] * len(queries)
    phrases = [None if query.user is None else export.rerank.of(query.user, domain) for query in queries]
    if encoded is not None:
        found = export.rerank.encode(replace(encoded.histories, domain=domain))  # [A, K, D]
        for place, some in zip(encoded.places, found, strict=True):
            phrases[place] = some[some.any(dim=1)]
    return phrases


def _exact(
    export: LoadedExport, queries: Sequence[Query], domain: int, vectors: Tensor, phrases: list[Tensor | None]
) -> list[Ranked]:
    """Rank all items of a domain; with coarse keys, score exactly only those that may be among the best."""
    items, coarse = export.recommender.info.items_of(domain), export.coarse
    if coarse is None:
        scores = torch.addmm(export.bias[items], vectors, export.keys[items].T)  # [B, N]
        texts = None if export.rerank is None else export.rerank.texts
    else:
        scores = (vectors.bfloat16() @ coarse.keys[items].T).float() + export.bias[items]
        texts = coarse.texts
    if texts is not None:
        _add_rerank(scores, phrases, texts[items])
    for row, query in zip(scores, queries, strict=True):
        if query.exclude_owned:
            owned = _owned(export, query)
            row[torch.from_numpy(owned[(owned >= items.start) & (owned < items.stop)] - items.start)] = float("-inf")
    best = best_of(scores, max(query.k for query in queries), items.start)
    if coarse is None:
        return [_ranked(Best(*parts), query.k) for parts, query in zip(zip(*best, strict=True), queries, strict=True)]
    last = best.scores[range(len(queries)), [min(query.k, best.scores.shape[1]) - 1 for query in queries]]  # [B]
    lowest = last - 2 * _margins(coarse, vectors, phrases)
    near = (scores >= lowest.unsqueeze(1)) & (scores > float("-inf"))
    place, column = near.nonzero(as_tuple=True)
    return _rank_some(export, queries, vectors, phrases, place, column + items.start)


def _margins(coarse: Coarse, vectors: Tensor, phrases: list[Tensor | None]) -> Tensor:
    """``[B]`` by how much a coarse score can be wrong.

    Raises:
        UserError: a query is NaN.
    """
    if not bool(torch.isfinite(vectors).all()):
        raise _nan_score()
    of_key, of_text = coarse.longest
    longest = [0.0 if some is None or not len(some) else float(some.norm(dim=1).max()) for some in phrases]
    margins: Tensor = MARGIN * (vectors.norm(dim=1) * of_key + torch.tensor(longest) * of_text)
    return margins


def _add_rerank(scores: Tensor, phrases: list[Tensor | None], texts: Tensor) -> None:
    """Add max(0, largest product of an item and a phrase) to ``[B, N]`` scores, in place."""
    sizes = [0 if some is None else len(some) for some in phrases]
    if not any(sizes):
        return
    products = torch.cat([some for some in phrases if some is not None]).to(texts.dtype) @ texts.T  # [ΣK, N]
    for row, part in zip(scores, torch.split(products, sizes), strict=True):
        if len(part):
            row += part.amax(dim=0).clamp(min=0)


def _proposed(
    export: LoadedExport,
    indexes: Indexes,
    queries: Sequence[Query],
    domain: int,
    vectors: Tensor,
    phrases: list[Tensor | None],
) -> list[Ranked]:
    """Score only the items that an index proposes."""
    owned = [_owned(export, query) if query.exclude_owned else np.zeros(0, np.int64) for query in queries]
    wanted = [query.k + len(mine) for query, mine in zip(queries, owned, strict=True)]
    near = indexes.search(domain, vectors.numpy(), wanted)
    found = [np.setdiff1d(items, mine) for items, mine in zip(near, owned, strict=True)]  # ascending
    place = np.repeat(np.arange(len(found)), [len(items) for items in found])
    pairs = (torch.from_numpy(place), torch.from_numpy(np.concatenate(found)))
    return _rank_some(export, queries, vectors, phrases, *pairs)


def _rank_some(
    export: LoadedExport,
    queries: Sequence[Query],
    vectors: Tensor,
    phrases: list[Tensor | None],
    place: Tensor,
    item: Tensor,
) -> list[Ranked]:
    """Rank some items for each query: M pairs of a query and an item, sorted by both."""
    parts = zip(torch.split(place, _PAIRS), torch.split(item, _PAIRS), strict=True)
    scores = torch.cat([(export.keys[items] * vectors[places]).sum(dim=1) for places, items in parts])  # [M]
    scores += export.bias[item]
    sizes = torch.bincount(place, minlength=len(queries))  # [B]
    if export.rerank is not None:
        rows = (torch.split(column, sizes.tolist()) for column in (scores, item))
        for some, row, items in zip(phrases, *rows, strict=True):
            if some is not None and len(some):
                row += (export.rerank.texts[items] @ some.T).amax(dim=1).clamp(min=0)
    column = torch.arange(len(item)) - (sizes.cumsum(0) - sizes)[place]
    table = scores.new_full((len(queries), max(1, int(sizes.max()))), float("-inf"))  # [B, C]
    items_of = torch.zeros_like(table, dtype=torch.long)
    table[place, column], items_of[place, column] = scores, item
    best = best_of(table, max(query.k for query in queries))
    chosen = zip(best.scores, items_of.gather(1, best.items), queries, strict=True)
    return [_ranked(Best(found, items), query.k) for found, items, query in chosen]


def _owned(export: LoadedExport, query: Query) -> IntArray:
    return query.items if query.user is None else export.owned.of(query.user)


def _ranked(best: Best, k: int) -> Ranked:
    scores, items = best.scores[:k].tolist(), best.items[:k].tolist()
    if any(score != score for score in scores):  # NaN counts as the highest score, so none is missed
        raise _nan_score()
    kept = [place for place, score in enumerate(scores) if score > float("-inf")]
    return Ranked([items[place] for place in kept], [scores[place] for place in kept])


def _nan_score() -> UserError:
    return UserError("the model returns NaN as a score", do="export another model", code="nan-score")
