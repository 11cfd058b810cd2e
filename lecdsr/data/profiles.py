"""User profiles as vectors, in several versions over time, and which version a target may read.

One rule holds for training, evaluation and recommending: a target reads the latest version of its user's profile whose
last interaction (``as_of``) lies before the target. A profile can thus never have seen what it helps to predict.

Shape legend: P profiles, V distinct texts, K phrases of a list, D width of a text vector, R rows of interactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import TRAIN

#: Bits of a time in a sort key: enough for the years 1426 to 2514, and 28 bits are left for users.
_TIME_BITS = 35


@dataclass(frozen=True)
class Profiles:
    """Profiles of users, sorted by user and then by ``as_of``; the row P is the unknown profile, with zero vectors.

    Args:
        user: ``[P]`` users.
        as_of: ``[P]`` time of the last interaction that a profile was written from, in seconds since 1970.
        vectors: ``[V+1, D]`` distinct texts: phrases, and whole profiles; the last row is zero.
        whole: ``[P+1]`` row of ``vectors`` of each profile as one text.
        lists: ``[P+1, 2, K]`` rows of ``vectors``: what the user is likely to need next in X and in Y, most likely
            first, filled up with V.
    """

    user: IntArray
    as_of: IntArray
    vectors: Tensor
    whole: Tensor
    lists: Tensor

    def __len__(self) -> int:
        return len(self.user)

    @property
    def unknown(self) -> int:
        """Row of the unknown profile."""
        return len(self.user)

    def before(self, user: IntArray, time: IntArray) -> IntArray:
        """Find what targets may read: the latest profile of each user before a time.

        Args:
            user: ``[R]`` users.
            time: ``[R]`` times of the targets, in seconds since 1970.

        Returns:
            ``[R]`` rows of profiles, :attr:`unknown` where the user has none with ``as_of`` < time.
        """
        found = np.searchsorted(_key(self.user, self.as_of), _key(user, time), side="left") - 1
        if not len(self):
            return np.zeros(len(user), np.int64)
        own = (found >= 0) & (self.user[found.clip(min=0)] == user)
        return np.where(own, found, self.unknown)

    def shell(self) -> Profiles:
        """Return at most one profile, of the same widths, for a model of which only the sizes are wanted."""
        return Profiles(
            self.user[:1],
            self.as_of[:1],
            self.vectors[-1:],
            torch.zeros_like(self.whole[-2:]),
            torch.zeros_like(self.lists[-2:]),
        )

    def time_of(self, profile: IntArray) -> IntArray:
        """``[R]`` as_of of profiles; 0 for the unknown one."""
        return np.append(self.as_of, 0)[profile]


#: Which profile a target reads: the latest before it; the one before that; or what was published, which is a leak.
ProfileTime = Literal["before_target", "older", "published"]


class TargetProfiles(NamedTuple):
    """What the row of each interaction may read if it is a target.

    Args:
        profile: ``[R]`` rows of profiles, the unknown one where there is none.
        age: ``[R]`` interactions of the user between the profile and the target; 0 if the profile is up to date.
        unknown: row of the unknown profile.
    """

    profile: IntArray
    age: IntArray
    unknown: int

    def take(self, rows: IntArray) -> TargetProfiles:
        """Select rows."""
        return TargetProfiles(self.profile[rows], self.age[rows], self.unknown)


def target_profiles(profiles: Profiles, interactions: pa.Table, earlier_than: IntArray | None = None) -> TargetProfiles:
    """Find what each interaction may read as a target.

    Args:
        profiles: of the pair.
        interactions: columns ``user`` and ``time``, sorted by user and then by time.
        earlier_than: ``[R]`` times before which profiles must lie; ``None`` is those of the interactions.
    """
    user, time = (interactions[name].to_numpy().astype(np.int64) for name in ("user", "time"))
    profile = profiles.before(user, time if earlier_than is None else np.minimum(time, earlier_than))
    # The rows of the user after as_of, up to the target, came after the profile.
    seen = np.searchsorted(_key(user, time), _key(user, profiles.time_of(profile)), side="right")
    age = np.where(profile != profiles.unknown, np.arange(len(user)) - seen, 0)
    return TargetProfiles(profile, age, profiles.unknown)


def history_profiles(
    profiles: Profiles,
    user: IntArray,
    owner: IntArray,
    time: IntArray,
    bounds: tuple[IntArray, IntArray],
    earlier_than: IntArray | None = None,
) -> TargetProfiles:
    """Find what may be read after whole histories: the latest profile that was written from nothing later.

    Args:
        profiles: of the pair.
        user: ``[B]`` users as the profiles know them.
        owner: ``[R]`` what groups the interactions, ascending.
        time: ``[R]`` times of the interactions, ascending within a group.
        bounds: ``[B]`` first row of each history, and the row after its last.
        earlier_than: ``[B]`` times of the next items, before which profiles must lie; ``None`` if these are not known.
    """
    start, end = bounds
    last = np.where(end > start, np.append(time, 0)[end - 1], np.iinfo(np.int32).min)
    profile = profiles.before(user, last + 1 if earlier_than is None else np.minimum(last + 1, earlier_than))
    groups = np.append(owner, 0)[end - 1]
    seen = np.searchsorted(_key(owner, time), _key(groups, profiles.time_of(profile)), side="right")
    age = np.where(profile != profiles.unknown, (end - seen).clip(0, end - start), 0)
    return TargetProfiles(profile, age, profiles.unknown)


def profiles_to_read(profiles: Profiles, interactions: pa.Table, time: ProfileTime) -> TargetProfiles:
    """Find what each interaction may read as a target, or reads in a control.

    - ``before_target``: see :func:`target_profiles`.
    - ``older``: the version before that one, to measure what a profile loses with its age.
    - ``published``: all training targets of a user read the version that their first held-out target may read. It was
      written from all training interactions, so most targets read a profile that has seen them: a leak.

    Args:
        profiles: of the pair.
        interactions: columns ``user``, ``time`` and ``split``, sorted by user and then by time.
        time: one of these.
    """
    honest = target_profiles(profiles, interactions)
    if time == "before_target":
        return honest
    user = interactions["user"].to_numpy().astype(np.int64)
    if time == "older":
        return target_profiles(profiles, interactions, earlier_than=profiles.time_of(honest.profile))
    held_out = interactions["split"].to_numpy() != TRAIN
    owner, first = np.unique(user[held_out], return_index=True)
    of_user = np.full(int(user.max(initial=-1)) + 1, profiles.unknown)
    of_user[owner] = honest.profile[held_out][first]
    profile, age = np.where(held_out, honest.profile, of_user[user]), np.where(held_out, honest.age, 0)
    return TargetProfiles(profile, age, profiles.unknown)


def check_order(user: IntArray, as_of: IntArray, n_users: int, where: str) -> None:
    """Refuse profiles that are not sorted, have two versions of one time, or belong to unknown users.

    Raises:
        UserError: one of these.
    """
    if len(user) and (user.min() < 0 or user.max() >= n_users):
        what = f"a profile belongs to the user {int(user.max()):,}, and the pair has {n_users:,} users"
        raise UserError(what, where=where, do="run `dvc repro` to rebuild it", code="other-ids")
    if (np.diff(_key(user, as_of)) <= 0).any():
        what = "the profiles are not sorted by user and as_of, or a user has two profiles with the same as_of"
        raise UserError(what, where=where, do="run `dvc repro` to rebuild it", code="unsorted")


def _key(user: IntArray, time: IntArray) -> IntArray:
    """Return one number for each user and time, in the order of users and then of times."""
    key: IntArray = (user.astype(np.int64) << _TIME_BITS) + time
    return key
