"""Nearest-neighbour indexes that propose items, for catalogues too large to score as a whole (extra ``ann``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.serve.load import LoadedExport

Floats = NDArray[np.float32]

#: Items that an index proposes beyond those asked for and the owned ones.
_SPARE = 20
#: Keys visited in a search: more is more accurate and slower.
_EFFORT = 256


class Indexes:
    """One index for each domain.

    The score is query · key + bias. The bias becomes one more dimension of the key, where every query is 1. A last
    dimension, where every query is 0, makes all keys equally long: the largest inner product is then the largest
    cosine, which such an index finds best (Bachrach et al., RecSys 2014).

    Args:
        export: the keys to index.

    Raises:
        UserError: the extra ``ann`` is not installed.
    """

    def __init__(self, export: LoadedExport) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise UserError(
                "the nearest-neighbour index (usearch) is not installed",
                where="--index ann",
                do="run pip install 'lecdsr[ann]', or take --index exact",
                code="not-installed",
            ) from error
        self._starts, self._indexes = [], []
        for domain in (0, 1):
            items = export.recommender.info.items_of(domain)
            rows = _as_cosines(torch.cat([export.keys[items], export.bias[items].unsqueeze(1)], dim=1).numpy())
            index = Index(
                ndim=rows.shape[1], metric="cos", dtype="f32", connectivity=32, expansion_add=128,
                expansion_search=_EFFORT,
            )  # fmt: skip
            index.add(np.arange(len(rows)), rows, threads=1)
            self._starts.append(items.start)
            self._indexes.append(index)

    def search(self, domain: int, queries: Floats, wanted: Sequence[int]) -> list[IntArray]:
        """Return items near each query ``[B, d]``, at least ``wanted [B]`` of them where there are as many."""
        index: Any = self._indexes[domain]
        ones, zeros = (np.full((len(queries), 1), value, np.float32) for value in (1, 0))
        rows = np.hstack([queries, ones, zeros])
        found = []
        for row, count in zip(rows, wanted, strict=True):
            keys = index.search(row, min(count + _SPARE, len(index)), threads=1).keys
            found.append(keys.astype(np.int64) + self._starts[domain])
        return found


def _as_cosines(keys: Floats) -> Floats:
    """Append a dimension that gives all keys length 1, ``[N, d]`` -> ``[N, d + 1]``."""
    squares = (keys.astype(np.float64) ** 2).sum(axis=1)
    longest = max(float(squares.max(initial=0)), 1e-12)
    rest = np.sqrt(np.maximum(longest - squares, 0))
    return np.hstack([keys, rest[:, None]]).astype(np.float32) / np.float32(longest**0.5)
