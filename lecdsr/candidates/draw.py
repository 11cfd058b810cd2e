"""Draw negatives uniformly without replacement from the target's domain, with array operations."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.candidates.settings import Settings
from lecdsr.core.schemas import CANDIDATES, TRAIN

Array = NDArray[np.int64]

# Targets per block, which bounds memory to a few hundred megabytes for a thousand negatives.
BLOCK = 4_096


def draw_candidates(interactions: pa.Table, windows: pa.Table, items: pa.Table, settings: Settings) -> pa.Table:
    """Draw negatives for every validation and test window, in the order of the windows.

    With ``exclude: history``, no negative is an item that the user ever interacted with, before or after the target;
    with ``target`` only the target is excluded, as in the published LeCDSR.
    """
    held_out = windows.filter(pc.not_equal(windows["split"], TRAIN))
    row = held_out["end"].to_numpy() - 1
    item, user = (interactions[name].to_numpy().astype(np.int64) for name in ("item", "user"))
    domain = items["domain"].to_numpy()
    n_x, n = int((domain == 0).sum()), len(domain)
    # Items to exclude as negatives, as sorted codes group * n + item.
    group = user[row] if settings.exclude == "history" else np.arange(len(row))
    forbidden = np.unique(user * n + item) if settings.exclude == "history" else group * n + item[row]
    rng = np.random.default_rng(settings.seed)
    drawn = np.empty(len(row), dtype=object)
    for code, (first, last) in enumerate(((0, n_x), (n_x, n))):
        chosen = np.flatnonzero(domain[item[row]] == code)
        for begin in range(0, len(chosen), BLOCK):
            block = chosen[begin : begin + BLOCK]
            lists = sample_without(rng, group[block], (first, last), n, forbidden, settings.negatives)
            for place, values in zip(block, lists, strict=True):
                drawn[place] = values
    negatives = pa.array(list(drawn), CANDIDATES.field("negatives").type)
    return pa.table({"split": held_out["split"], "row": row, "negatives": negatives}).cast(CANDIDATES)


def sample_without(
    rng: np.random.Generator, group: Array, items: tuple[int, int], n: int, forbidden: Array, count: int
) -> list[Array]:
    """Draw ``count`` distinct allowed items per row; all allowed items if there are fewer.

    Args:
        rng: source of randomness.
        group: ``[T]`` group of each row, which determines its forbidden items.
        items: first item of the range, and the one after its last.
        n: multiplier of the codes, greater than every item.
        forbidden: sorted codes ``group * n + item``.
        count: number of items per row.

    Returns:
        ``T`` arrays of items.
    """
    first, last = items
    taken = np.searchsorted(forbidden, group * n + last) - np.searchsorted(forbidden, group * n + first)
    scarce = (last - first) - taken <= count
    lists: list[Array] = [np.empty(0, np.int64)] * len(group)
    for place in np.flatnonzero(scarce):
        every = np.arange(first, last)
        lists[place] = every[~_is_in(forbidden, group[place] * n + every)]
    plenty = np.flatnonzero(~scarce)
    for place, values in zip(plenty, _rejection_sample(rng, group[plenty], items, n, forbidden, count), strict=True):
        lists[place] = values
    return lists


def _rejection_sample(
    rng: np.random.Generator, group: Array, items: tuple[int, int], n: int, forbidden: Array, count: int
) -> Array:
    """Draw ``[T, count]`` by rejection sampling: forbidden and repeated items are dropped and drawn again.

    The first ``count`` distinct items of a uniform sequence are a uniform draw without replacement.
    """
    drawn = np.empty((len(group), 0), np.int64)
    result = np.empty((len(group), count), np.int64)
    open_rows = np.arange(len(group))
    while len(open_rows):
        drawn = np.hstack([drawn, rng.integers(*items, size=(len(open_rows), count))])
        code = group[open_rows, None] * n + drawn
        fresh = _first_in_row(drawn) & ~_is_in(forbidden, code)
        order = np.cumsum(fresh, axis=1)
        done = order[:, -1] >= count
        chosen = fresh[done] & (order[done] <= count)
        result[open_rows[done]] = drawn[done][chosen].reshape(-1, count)
        open_rows, drawn = open_rows[~done], drawn[~done]
    return result


def _first_in_row(values: Array) -> NDArray[np.bool_]:
    """Mark the first occurrence of each value in its row."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    first = np.ones_like(ordered, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty_like(first)
    np.put_along_axis(result, order, first, axis=1)
    return result


def _is_in(sorted_codes: Array, codes: Array) -> NDArray[np.bool_]:
    place = np.searchsorted(sorted_codes, codes)
    found: NDArray[np.bool_] = sorted_codes[np.minimum(place, len(sorted_codes) - 1)] == codes
    return found
