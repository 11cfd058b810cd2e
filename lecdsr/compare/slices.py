"""Slices of targets by how often their item was seen in training; the only place that has the bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[int, int | None]

#: Training interactions of the target's item: least and most.
SLICES: dict[str, Bounds] = {"0": (0, 0), "1–4": (1, 4), "5–19": (5, 19), "20+": (20, None)}
ALL = "all"
EVERY: Bounds = (0, None)


def inside(train_count: NDArray[np.int32], bounds: Bounds) -> NDArray[np.bool_]:
    """Which targets lie in a slice; ``[T]`` -> ``[T]``."""
    least, most = bounds
    chosen = train_count >= least
    return chosen if most is None else chosen & (train_count <= most)
