"""Split users' ordered interactions into training, validation and test windows, with array operations.

Every function takes ``user`` and ``time`` of the interactions, sorted by user and then by time, and returns the split
of every row and the windows (see ``WINDOWS``). ``evaluated`` ``[R]`` marks the rows of users who get validation and
test targets; all other users are used for training only. Rules: docs/evaluation.md.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray as Array
from lecdsr.core.arrays import expand
from lecdsr.core.schemas import SECONDS_PER_DAY, TEST, TRAIN, VALID, WINDOWS
from lecdsr.sequences.settings import Settings

Bools: TypeAlias = NDArray[np.bool_]
#: Start times of validation and of test, in seconds since 1970.
Cuts: TypeAlias = tuple[int, int]


class Split(NamedTuple):
    """Result of a split: the split of every interaction ``[R]``, and the table of windows."""

    part: NDArray[np.int8]
    windows: pa.Table


def split_interactions(user: Array, time: Array, evaluated: Bools, settings: Settings, cuts: Cuts) -> Split:
    """Split the interactions by the rule named in the settings; only ``temporal`` uses ``cuts``."""
    if settings.split == "leave_one_out":
        return leave_one_out(user, time, settings.min_history, evaluated)
    if settings.split == "ratio_windows":
        rule = settings.ratios, settings.window, settings.min_window, settings.min_history
        return ratio_windows(user, time, *rule, evaluated)
    return temporal(user, time, cuts, settings.min_history, evaluated)


def leave_one_out(user: Array, time: Array, min_history: int, evaluated: Bools | None = None) -> Split:
    """Split leave-one-out: the last interaction of a user is test, the second last validation, the rest training.

    The history of a validation or test target is everything before it. A user with two interactions has no validation
    target, a user with one has no target.
    """
    start, end = _runs(user)
    size = (end - start) * _flag(evaluated, start)
    part = np.full(len(user), TRAIN, np.int8)
    part[(end - 1)[size >= 2]] = TEST
    part[(end - 2)[size >= 3]] = VALID
    held_out = np.select([size >= 3, size == 2], [2, 1], 0)
    windows = [
        _training(start, end - held_out, min_history),
        _held_out(VALID, start[size >= 3], end[size >= 3] - 1),
        _held_out(TEST, start[size >= 2], end[size >= 2]),
    ]
    return Split(part, _table(windows, user, time))


def ratio_windows(
    user: Array,
    time: Array,
    ratios: tuple[float, float],
    window: int,
    min_window: int,
    min_history: int,
    evaluated: Bools | None = None,
) -> Split:
    """Split as in the published Toy–Game preparation: cut each sequence by ratios, and each part into windows.

    Parts end at floor(ratio × length); windows with fewer than ``min_window`` rows are dropped. The last row of a
    validation or test window is its target, the other rows of the window are its history.
    """
    start, end = _runs(user)
    # Round before the floor, because 0.8 + 0.1 is slightly less than 0.9 in floating point.
    bounds = [start]
    for share in (ratios[0], ratios[0] + ratios[1]):
        cut = start + np.floor(np.round((end - start) * share, 9)).astype(np.int64)
        bounds.append(np.where(_flag(evaluated, start), cut, end))
    bounds.append(end)
    part = np.full(len(user), TRAIN, np.int8)
    windows = []
    for code in (TRAIN, VALID, TEST):
        first, last = bounds[code], bounds[code + 1]
        part[expand(first, last)[1]] = code
        begin, stop = _cut(first, last, window)
        kept = stop - begin >= min_window
        begin, stop = begin[kept], stop[kept]
        windows.append(_training(begin, stop, min_history) if code == TRAIN else _held_out(code, begin, stop))
    return Split(part, _table(windows, user, time))


def day_cuts(days: Array, counts: Array, cuts: tuple[float, float] | tuple[date, date]) -> Cuts:
    """Compute the cut times of the temporal split, from given days or from given shares of the interactions.

    Cuts are at midnight because the order within a day is not known.

    Args:
        days: ``[D]`` days since 1970 that have interactions, ascending.
        counts: ``[D]`` interactions of each day.
        cuts: first days of validation and test, or the shares of all interactions that lie before these cuts.
    """
    found = []
    for cut in cuts:
        if isinstance(cut, date):
            found.append((cut - date(1970, 1, 1)).days)
        else:
            found.append(int(days[np.searchsorted(np.cumsum(counts), int(counts.sum() * cut), side="right")]))
    return found[0] * SECONDS_PER_DAY, found[1] * SECONDS_PER_DAY


def temporal(user: Array, time: Array, cuts: Cuts, min_history: int, evaluated: Bools | None = None) -> Split:
    """Split by global time: validation and test start at the same moments for every user.

    Interactions from the first cut on are validation, those from the second cut on are test. A user's target in each of
    the two periods is their last interaction in it, if at least ``min_history`` interactions precede it. All preceding
    interactions form the history, including those after the cut, because they are known when the target occurs.
    """
    valid_from, test_from = cuts
    part = np.select([time >= test_from, time >= valid_from], [TEST, VALID], TRAIN).astype(np.int8)
    start, end = _runs(user)
    # Rows are in time order, so the parts of a user are consecutive.
    train_end = start + np.add.reduceat(part == TRAIN, start)
    valid_end = train_end + np.add.reduceat(part == VALID, start)
    windows = [_training(start, train_end, min_history)]
    for code, first, last in ((VALID, train_end, valid_end), (TEST, valid_end, end)):
        kept = (last > first) & (last - 1 - start >= min_history) & _flag(evaluated, start)
        windows.append(_held_out(code, start[kept], last[kept]))
    return Split(part, _table(windows, user, time))


Windows = tuple[NDArray[np.int8], Array, Array, Array]


def _training(start: Array, end: Array, min_history: int) -> Windows:
    """Make the training windows that have at least one target."""
    kept = end - start > min_history
    start, end = start[kept], end[kept]
    return np.full(len(start), TRAIN, np.int8), start, start + min_history, end


def _held_out(code: int, start: Array, end: Array) -> Windows:
    return np.full(len(start), code, np.int8), start, end - 1, end


def _table(windows: list[Windows], user: Array, time: Array) -> pa.Table:
    split, start, first_target, end = (np.concatenate(column) for column in zip(*windows, strict=True))
    day = time // SECONDS_PER_DAY
    tied = (split != TRAIN) & (end - start > 1) & (day[end - 1] == day[np.maximum(end - 2, 0)])
    columns = {
        "split": split,
        "user": user[start],
        "start": start,
        "first_target": first_target,
        "end": end,
        "tied": tied,
    }
    return pa.table(columns).cast(WINDOWS)


def _flag(evaluated: Bools | None, start: Array) -> Bools:
    """Reduce ``evaluated`` to one value per user; ``start`` holds the first row of each user."""
    return np.ones(len(start), np.bool_) if evaluated is None else evaluated[start]


def _runs(user: Array) -> tuple[Array, Array]:
    """Return the first row of every user and the row after their last; ``user`` is sorted."""
    start = np.flatnonzero(np.diff(user, prepend=user[0] - 1)).astype(np.int64)
    return start, np.append(start[1:], len(user)).astype(np.int64)


def _cut(start: Array, end: Array, window: int) -> tuple[Array, Array]:
    """Cut intervals into consecutive pieces of ``window`` rows; the last piece may be shorter."""
    count = -(-(end - start) // window)
    whole, piece = expand(np.zeros_like(count), count)
    begin = start[whole] + piece * window
    return begin, np.minimum(begin + window, end[whole])
