"""Select the interactions of each user that a profile may show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lecdsr.core.schemas import TRAIN
from lecdsr.prompts.settings import ProfileFrom

Rows = npt.NDArray[np.int64]

#: Row of the first training target of a user who has none: larger than any row number.
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ShownRows:
    """Rows of the interactions that profiles may use: ``rows[offsets[u]:offsets[u + 1]]`` for user ``u``.

    ``sees_targets``: whether any of these rows is a training target or comes after one.
    """

    rows: Rows
    offsets: Rows
    sees_targets: bool

    def of(self, user: int) -> Rows:
        """Return the rows of one user, in time order."""
        return self.rows[self.offsets[user] : self.offsets[user + 1]]


def shown_rows(interactions: pa.Table, windows: pa.Table, n_users: int, source: ProfileFrom, length: int) -> ShownRows:
    """Select the latest ``length`` rows that each user's profile may use.

    Validation and test rows are never used. ``before_first_target`` also excludes the user's earliest training target
    and every row after it; a user without a training window has no such target.

    Raises:
        ValueError: the interactions are not sorted by user.
    """
    user = interactions["user"].to_numpy()
    if np.any(np.diff(user) < 0):
        raise ValueError("interactions are not sorted by user")
    from_target_on = np.arange(len(user)) >= _first_targets(windows, n_users)[user]
    allowed = interactions["split"].to_numpy() == TRAIN
    if source == "before_first_target":
        allowed &= ~from_target_on
    rows, offsets = _latest(np.flatnonzero(allowed), user, n_users, length)
    return ShownRows(rows, offsets, bool(from_target_on[rows].any()))


def _first_targets(windows: pa.Table, n_users: int) -> Rows:
    """Find the row of each user's earliest training target, ``[U]``."""
    training = windows["split"].to_numpy() == TRAIN
    first = np.full(n_users, _NEVER, dtype=np.int64)
    np.minimum.at(first, windows["user"].to_numpy()[training], windows["first_target"].to_numpy()[training])
    return first


def _latest(rows: Rows, user: npt.NDArray[np.int32], n_users: int, length: int) -> tuple[Rows, Rows]:
    """Return the last ``length`` rows of every user, and the offset of each user's first row."""
    counts = np.bincount(user[rows], minlength=n_users)
    to_end = np.cumsum(counts)[user[rows]] - np.arange(len(rows))  # 1 for the latest row of a user
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, length))]).astype(np.int64)
    return rows[to_end <= length], offsets
