"""Slices of targets: by training interactions of the item, by the user's history, by same-day ties."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bounds = tuple[int, int | None]
Mask = NDArray[np.bool_]

#: Bounds of the training interactions of the target's item, inclusive.
SLICES: dict[str, Bounds] = {"0": (0, 0), "1–4": (1, 4), "5–19": (5, 19), "20+": (20, None)}
#: Bounds of the user's interactions in the target's domain before it, inclusive.
HISTORY: dict[str, Bounds] = {"0–4": (0, 4), "5–9": (5, 9), "10–19": (10, 19), "20+": (20, None)}
ALL = "all"
EVERY: Bounds = (0, None)
#: Kinds of slices.
KINDS = ("training", "history", "ties")


def inside(count: NDArray[np.int32], bounds: Bounds) -> Mask:
    """Mark the targets whose count is within the bounds of a slice, ``[T]`` -> ``[T]``."""
    least, most = bounds
    chosen = count >= least
    return chosen if most is None else chosen & (count <= most)


def parts(targets: pa.Table, kinds: Iterable[str] = KINDS) -> dict[str, Mask]:
    """Return a mask ``[T]`` of the targets in each slice, with all targets first.

    Ranks of an earlier version lack the length of the history in the target's domain, so their history slices are
    empty.
    """
    train_count, history = (targets[name].to_numpy() for name in ("train_count", "history_own"))
    tied = targets["day_tied"].to_numpy(zero_copy_only=False)
    made = {
        "training": {name: inside(train_count, bounds) for name, bounds in SLICES.items()},
        "history": {f"history {name}": inside(history, bounds) for name, bounds in HISTORY.items()},
        "ties": {"tied": tied, "untied": ~tied},
    }
    found = {ALL: np.ones(len(targets), np.bool_)}
    for kind in kinds:
        found |= made[kind]
    return found
