"""The user to recommend to: a user of the pair, or an anonymous user known by a typed history only."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY
from lecdsr.recommend.lookup import Finder, looks_like_asin
from lecdsr.recommend.recommender import PairRecommender

EPOCH = datetime.date(1970, 1, 1)
_DAY = re.compile(r"\s*@\s*(\d[\d/.-]*)$")


@dataclass(frozen=True)
class TargetUser:
    """User to recommend to, with their history.

    Args:
        reviewer: id of a user of the pair; ``None`` for an anonymous user.
        row: number of the user in the dataset; ``info.anonymous_user`` for an anonymous user.
        items: ``[H]`` items of the history in time order.
        times: ``[H]`` times of the items, in seconds since 1970-01-01 UTC.
        profile: text of the profile, if there is one.
        notes: notes on how the arguments were interpreted, shown with the result.
    """

    reviewer: str | None
    row: int
    items: IntArray
    times: IntArray
    profile: str | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the user in headings."""
        return self.reviewer or "an anonymous user"


class TypedItem(NamedTuple):
    """An item of a typed history: its id, its day since 1970-01-01 UTC, and a note on how it was found."""

    item: int
    day: int
    note: str


def target_user(recommender: PairRecommender, reviewer: str | None, history: list[str], day: str | None) -> TargetUser:
    """Find the user with a reviewer id, or build an anonymous user from a typed history.

    Raises:
        UserError: both or neither are given, a name is unknown, or the model cannot recommend to an anonymous user.
    """
    if reviewer is not None and history:
        raise UserError(
            "--user and --history are both given", where="--user, --history", do="give one of them", code="both-given"
        )
    if reviewer is None:
        return anonymous_user(recommender, history, day)
    if day is not None:
        raise UserError(
            "--day applies to --history only",
            where="--day",
            do="leave it out: the history of --user has its own days",
            code="needless-day",
        )
    row = recommender.user_id(reviewer)
    items, times = recommender.history(row)
    return TargetUser(
        reviewer, row, items, times, recommender.profiles.get(row), tuple(missing_history(recommender, items))
    )


def anonymous_user(recommender: PairRecommender, history: list[str], day: str | None) -> TargetUser:
    """Build an anonymous user from a typed history.

    Raises:
        UserError: an item or a day is not understood, there is no item, or the model cannot recommend to an anonymous
          user.
    """
    given = read_history(history, Finder(recommender.items), datetime.date.today() if day is None else read_day(day))
    if not given:
        raise UserError(
            "the history is empty",
            where="--history",
            do='give a user with --user, or items with --history "ASIN,ASIN" or --history "a title"',
            code="empty-history",
        )
    recommender.check_anonymous()
    items = np.array([row.item for row in given], np.int64)
    times = np.array([row.day for row in given], np.int64) * SECONDS_PER_DAY
    notes = [row.note for row in given if row.note]
    if recommender.user_input == "profile":
        notes.append("an anonymous user has no profile: the model scores as for users of the pair without one")
    notes += missing_history(recommender, items)
    return TargetUser(None, recommender.info.anonymous_user, items, times, None, tuple(notes))


def read_history(values: list[str], finder: Finder, day: datetime.date) -> list[TypedItem]:
    """Parse a typed history into items in time order; items of one day keep the order in which they were given.

    A value is an ASIN or a title, with its own day as ``…@YYYY-MM-DD``, or a list of them separated by commas. A title
    may contain commas: a value is read as a list only if it is not a title and one of its parts is.

    Raises:
        UserError: an item or a day is not understood.
    """
    rows = []
    for value in values:
        for part in _parts(value, finder):
            text, when = _cut_day(part, day)
            found = finder.find(text)
            rows.append(TypedItem(found.item, (when - EPOCH).days, found.note))
    return sorted(rows, key=lambda row: row.day)


def read_day(text: str, where: str = "--day or --history") -> datetime.date:
    """Parse a day written as YYYY-MM-DD; ``where`` says in a message where it was written.

    Raises:
        UserError: it is not a day.
    """
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"{text!r} is not a day",
            where=where,
            do="write it as YYYY-MM-DD, for example 2014-05-01",
            code="wrong-day",
        ) from error


def missing_history(recommender: PairRecommender, items: IntArray) -> list[str]:
    """List the parts of the history that the model would read but that are empty, as notes for the user."""
    if recommender.trained.domains != "own":
        same = ", so every user without one gets the same ranking" if recommender.user_input == "none" else ""
        return [] if len(items) else [f"the history is empty{same}"]
    in_y = items >= recommender.info.n_x
    missing = [DOMAINS[code] for code in (0, 1) if not (in_y == bool(code)).any()]
    return [
        f"there is no history in domain {domain}, and this model reads only that to recommend from it: "
        "recommendations there are not based on the history"
        for domain in missing
    ]


def _parts(value: str, finder: Finder) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    bare = [_DAY.sub("", part) for part in parts]
    if finder.exact(_DAY.sub("", value.strip())) is not None:
        return [value.strip()]
    listed = any(looks_like_asin(part) or finder.exact(part) is not None for part in bare)
    return parts if listed or len(parts) < 2 else [value.strip()]


def _cut_day(text: str, day: datetime.date) -> tuple[str, datetime.date]:
    match = _DAY.search(text)
    return (text, day) if match is None else (text[: match.start()], read_day(match.group(1)))
