"""Beyond-accuracy metrics of top-10 lists: coverage, exposure, popularity, novelty, diversity, calibration.

They describe what a model recommends, whether or not it is right. Formulas and sources: docs/evaluation.md.

Shape legend: T lists, k items of a list, N items of a domain, D width of a text vector, G categories. Lists hold items
of one domain, numbered from 0, and :data:`~lecdsr.evaluate.lists.NONE` at the end of shorter lists. The value of a list
is NaN where it is not defined.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from lecdsr.core.arrays import IntArray, expand
from lecdsr.core.schemas import DOMAINS, TEST
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.lists import NONE, Lists, to_array

Array = NDArray[np.float64]

#: Share of a domain's items that are its head: those with the most training interactions. The others are the tail.
HEAD = 0.2
#: Share of the history's distribution that smooths the list's, so that no category has the probability 0.
SMOOTHING = 0.01
#: Lists whose text vectors are gathered at once: 31 MB at a width of 384.
BLOCK = 1024


class Catalogue(NamedTuple):
    """What is known of the items of one domain.

    Args:
        train_counts: ``[N]`` training interactions.
        vectors: ``[N, D]`` text vectors, zero for an item without a text; ``None`` without texts.
        categories: ``[N, G]`` from :func:`category_shares`; ``None`` without categories.
    """

    train_counts: IntArray
    vectors: NDArray[np.float32] | None
    categories: sparse.csr_array | None


def beyond_accuracy(
    lists: pa.Table, sequences: Sequences, info: DatasetInfo, categories: pa.ChunkedArray
) -> dict[str, dict[str, float]]:
    """Compute the beyond-accuracy metrics of each domain.

    A value of a list is averaged over the lists of a user first, then over users, like the ranking metrics. A metric
    that is defined for no list is left out, and so is a domain without test targets.

    Args:
        lists: table ``LISTS``.
        sequences: windows that were ranked; the test windows in the order of the lists.
        info: of the pair.
        categories: of all items, column ``categories`` of ``ITEMS``.

    Returns:
        ``{domain: {metric: value}}``.
    """
    targets, top, shares = sequences.of_split(TEST), to_array(lists), category_shares(categories)
    domain = lists["domain"].to_numpy()
    found = {}
    for code, name in enumerate(DOMAINS):
        chosen = np.flatnonzero(domain == code)
        if len(chosen):
            items = info.items_of(code)
            own = np.where(top[chosen] == NONE, NONE, top[chosen] - items.start)
            found[name] = domain_metrics(own, targets.take(chosen), items, catalogue_of(info, items, shares))
    return found


def catalogue_of(info: DatasetInfo, items: slice, shares: sparse.csr_array | None) -> Catalogue:
    """Select the items of one domain from what is known of all."""
    vectors = None if info.item_vectors is None else info.item_vectors[items].numpy()
    counts = info.train_counts[items].numpy()
    own = None if shares is None else shares[items]
    return Catalogue(counts, vectors, own if own is not None and own.nnz else None)


def domain_metrics(lists: Lists, targets: Sequences, items: slice, catalogue: Catalogue) -> dict[str, float]:
    """Compute the metrics of one domain.

    Args:
        lists: ``[T, k]``.
        targets: the T windows of the lists, whose histories are compared with them.
        items: ids of the domain's items.
        catalogue: of the domain.
    """
    counts = catalogue.train_counts
    shown = exposure(lists, len(counts))
    metrics: dict[str, float | None] = {"coverage@10": coverage(shown), "gini@10": gini(shown)}
    values = {name: list_means(lists, fact) for name, fact in item_facts(counts).items()}
    blocks = np.split(np.arange(len(lists)), range(BLOCK, len(lists), BLOCK))
    if (vectors := catalogue.vectors) is not None:
        values["diversity@10"] = np.concatenate([diversity(lists[block], vectors) for block in blocks])
    if (shares := catalogue.categories) is not None:
        # The shares of a block of lists are held at once, and not the histories of all users.
        parts = (miscalibration(lists[block], history_counts(targets.take(block), items), shares) for block in blocks)
        values["miscalibration@10"] = np.concatenate(list(parts))
    _, user = np.unique(targets.user, return_inverse=True)
    metrics |= {name: mean_over_users(value, user) for name, value in values.items()}
    return {name: value for name, value in metrics.items() if value is not None}


def item_facts(counts: IntArray) -> dict[str, NDArray[Any]]:
    """Return what is averaged over the items of a list, ``[N]`` each, by the name of the metric."""
    return {
        "popularity@10": counts,
        "tail@10": in_tail(counts),
        "novelty@10": self_information(counts),
        "unseen@10": counts == 0,
    }


def exposure(lists: Lists, n_items: int) -> IntArray:
    """Count the lists that hold each item, ``[N]``."""
    return np.bincount(lists[lists != NONE], minlength=n_items)


def coverage(shown: IntArray) -> float | None:
    """Compute the share of items in at least one list (Ge, Delgado-Battenfeld and Jannach, RecSys 2010)."""
    return float((shown > 0).mean()) if len(shown) else None


def gini(shown: IntArray) -> float | None:
    """Compute the Gini coefficient of the exposure of all items (Fleder and Hosanagar, Management Science 2009).

    0 if all items are in equally many lists, 1 - 1/N if every place shows one item; ``None`` if there is no place.
    """
    number, total = len(shown), int(shown.sum())
    if not total:
        return None
    weighted = int((np.arange(1, number + 1) * np.sort(shown)).sum())
    return 2 * weighted / (number * total) - (number + 1) / number


def in_tail(counts: IntArray, head: float = HEAD) -> NDArray[np.bool_]:
    """Mark the items of the tail, ``[N]``: all but the ``head`` of the items with the most training interactions.

    The number of items of the head is rounded up; of items with equal counts the lower number comes first.
    """
    tail = np.ones(len(counts), np.bool_)
    tail[np.argsort(-counts, kind="stable")[: math.ceil(round(head * len(counts), 9))]] = False
    return tail


def self_information(counts: IntArray) -> Array:
    """Compute -log2 of each item's share of the training interactions, in bits, ``[N]`` (Zhou et al., PNAS 2010).

    An unseen item counts as one interaction, because its information would be infinite.
    """
    return -np.log2(np.maximum(counts, 1) / max(1, int(counts.sum())))


def list_means(lists: Lists, values: NDArray[Any]) -> Array:
    """Average a value ``[N]`` of the items over the items of each list, ``[T]``; NaN for an empty list."""
    there = lists != NONE
    total = np.where(there, values[lists], 0).sum(axis=1, dtype=np.float64)
    return _ratio(total, there.sum(axis=1))


def diversity(lists: Lists, vectors: NDArray[np.float32]) -> Array:
    """Compute 1 - the mean cosine of the text vectors over all pairs of items of each list, ``[T]``.

    Items without a text are left out; a list with fewer than two texts has no value. The sum of the cosines of all
    pairs follows from the length of the sum of the unit vectors (Ziegler et al., WWW 2005).
    """
    rows = vectors[lists].astype(np.float64)  # [T, k, D]
    rows[lists == NONE] = 0
    length = np.sqrt((rows**2).sum(axis=2))  # [T, k]
    rows /= np.where(length > 0, length, 1)[:, :, None]
    number = (length > 0).sum(axis=1)
    cosines = (rows.sum(axis=1) ** 2).sum(axis=1) - number  # of each pair twice
    return 1 - _ratio(cosines, number * (number - 1))


def category_shares(categories: pa.ChunkedArray) -> sparse.csr_array | None:
    """Return ``[N, G]`` the share of each category in an item: equal shares for the categories of one item.

    Items without a category have a row of zeros. ``None`` if no item has one.
    """
    column = categories.combine_chunks()
    item = np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))
    names = pc.fill_null(column.flatten(), "").dictionary_encode()
    named = pc.not_equal(names.dictionary, "").take(names.indices).to_numpy(zero_copy_only=False)
    if not named.any():
        return None
    code = names.indices.to_numpy()[named]
    shape = (len(column), len(names.dictionary))
    # A category that an item names twice counts once.
    pairs = np.unique(item[named] * shape[1] + code)
    return _shares(sparse.csr_array((np.ones(len(pairs)), (pairs // shape[1], pairs % shape[1])), shape))


def history_counts(targets: Sequences, items: slice) -> sparse.csr_array:
    """Count each item of a domain in the history before each target, ``[T, N]``."""
    row, place = expand(targets.seen_start, targets.target_row)
    item = targets.seen_items[place]
    own = (item >= items.start) & (item < items.stop)
    shape = (len(targets), items.stop - items.start)
    return sparse.csr_array((np.ones(int(own.sum())), (row[own], item[own] - items.start)), shape)


def miscalibration(lists: Lists, histories: sparse.csr_array, categories: sparse.csr_array) -> Array:
    """Compute the Kullback-Leibler divergence of each history's and list's categories, ``[T]`` (Steck, RecSys 2018).

    Σ_g p(g) ln(p(g) / q(g)), with p(g) the share of category g in the history, and q(g) 99 % of its share in the list
    and 1 % of p(g). 0 if both have the same categories, 4.6 if they have none in common. A user whose history or list
    has no categories has no value.

    Args:
        lists: ``[T, k]``.
        histories: ``[T, N]`` from :func:`history_counts`.
        categories: ``[N, G]`` from :func:`category_shares`.
    """
    row, place = np.nonzero(lists != NONE)
    shown = sparse.csr_array((np.ones(len(row)), (row, lists[row, place])), histories.shape)
    p, q = (_shares(rows @ categories) for rows in (histories, shown))  # [T, G]
    smoothed = (1 - SMOOTHING) * q + SMOOTHING * p  # stores every place that p stores
    terms = p.multiply(_log(p)) - p.multiply(_log(smoothed))
    found: Array = terms.sum(axis=1)
    found[(np.diff(p.indptr) == 0) | (np.diff(q.indptr) == 0)] = np.nan
    return found


def mean_over_users(values: Array, user: IntArray) -> float | None:
    """Average over the lists of each user and then over users, without lists that have no value; ``None`` without any.

    Args:
        values: ``[T]``.
        user: ``[T]`` dense number of the user of each list.
    """
    there = ~np.isnan(values)
    if not there.any():
        return None
    lists = np.bincount(user[there])
    total = np.bincount(user[there], values[there])
    return float((total[lists > 0] / lists[lists > 0]).mean())


def _shares(rows: sparse.csr_array) -> sparse.csr_array:
    """Divide each row by its sum; empty rows stay as they are."""
    each = np.repeat(rows.sum(axis=1), np.diff(rows.indptr))  # the sum of the row of every stored value
    return sparse.csr_array((rows.data / each, rows.indices, rows.indptr), rows.shape)


def _log(rows: sparse.csr_array) -> sparse.csr_array:
    """Take the logarithm of the stored values."""
    return sparse.csr_array((np.log(rows.data), rows.indices, rows.indptr), rows.shape)


def _ratio(total: NDArray[Any], number: IntArray) -> Array:
    found: Array = np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
    return found
