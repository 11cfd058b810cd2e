"""Select the interactions that each version of a user's profile is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lecdsr.core.schemas import TEST, TRAIN
from lecdsr.prompts.settings import ProfileVersion

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Parts of histories, one per profile, sorted by user and then by time; all arrays are ``[P]``.

    ``start``, ``end``: rows of the interactions that the profile shows. ``as_of``: time of the last of them.
    ``version``: position of the version in the list of versions.
    """

    user: Rows
    start: Rows
    end: Rows
    as_of: Rows
    version: Rows


def profile_parts(interactions: pa.Table, n_users: int, versions: Sequence[ProfileVersion], length: int) -> Parts:
    """Find the part of each user's history that each version shows: its latest ``length`` interactions.

    A version without interactions is left out. Of the versions of a user that end at the same time, one is kept: the
    one with the most interactions, and among equal ones the first in the list.

    Args:
        interactions: table ``INTERACTIONS``.
        n_users: number of users.
        versions: setting ``prompts.profile_versions``.
        length: maximum number of interactions of a part.

    Raises:
        ValueError: the interactions are not sorted by user and time, or a user's splits are not in order.
    """
    user, time, split = (interactions[name].to_numpy() for name in ("user", "time", "split"))
    _check_order(user, time, split)
    first = np.searchsorted(user, np.arange(n_users))
    ends = np.stack([first + _sizes(version, user, time, split, n_users) for version in versions])
    version, owner = np.nonzero(ends > first)
    end = ends[version, owner]
    order = np.lexsort((-version, end, owner))  # the part to keep comes last among those with the same time
    version, owner, end = version[order], owner[order], end[order]
    as_of = time[end - 1]
    kept = np.ones(len(end), np.bool_)
    kept[:-1] = (owner[1:] != owner[:-1]) | (as_of[1:] != as_of[:-1])
    version, owner, end, as_of = version[kept], owner[kept], end[kept], as_of[kept]
    return Parts(owner, np.maximum(first[owner], end - length), end, as_of, version)


def _sizes(
    version: ProfileVersion,
    user: npt.NDArray[np.int32],
    time: npt.NDArray[np.int64],
    split: npt.NDArray[np.int8],
    n_users: int,
) -> Rows:
    """Count the interactions of every user that a version may use, ``[U]``; they are the user's first ones."""

    def count(allowed: npt.NDArray[np.bool_]) -> Rows:
        return np.bincount(user[allowed], minlength=n_users)

    training = count(split == TRAIN)
    if isinstance(version, int):
        return np.minimum(training, version)
    if isinstance(version, date):
        return count(time < datetime(version.year, version.month, version.day, tzinfo=UTC).timestamp())
    return {
        "first_half": (training + 1) // 2,
        "training": training,
        "before_test": count(split < TEST),
        "latest": count(split <= TEST),
    }[version]


def _check_order(user: npt.NDArray[np.int32], time: npt.NDArray[np.int64], split: npt.NDArray[np.int8]) -> None:
    same = user[1:] == user[:-1]
    if np.any(user[1:] < user[:-1]) or np.any(same & (time[1:] < time[:-1])):
        raise ValueError("interactions are not sorted by user and time")
    if np.any(same & (split[1:] < split[:-1])):
        raise ValueError("the splits of a user are not in order")
