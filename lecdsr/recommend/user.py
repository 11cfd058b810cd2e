"""Whom to recommend to: a user of the pair, or a visitor who is known by a history alone."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY
from lecdsr.models import hgn, lecdsr
from lecdsr.models.base import Recommender
from lecdsr.recommend.lookup import Finder, looks_like_asin
from lecdsr.recommend.recommender import PairRecommender

EPOCH = datetime.date(1970, 1, 1)
_DAY = re.compile(r"\s*@\s*(\d[\d/.-]*)$")


@dataclass(frozen=True)
class Person:
    """A history with what the model is told of its owner.

    Args:
        reviewer: id of a user of the pair; ``None`` for a visitor.
        user: row that the model reads for him.
        items, times: ``[H]`` his history in time order.
        profile: what was written of him, if anything.
        notes: what he should be told about how he was understood.
    """

    reviewer: str | None
    user: int
    items: IntArray
    times: IntArray
    profile: str | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As headings have it."""
        return self.reviewer or "the visitor"


class Given(NamedTuple):
    """An item of a history that was typed in: its id, its day since 1970-01-01 UTC, what to tell of it."""

    item: int
    day: int
    note: str


def person_of(recommender: PairRecommender, reviewer: str | None, history: list[str], day: str | None) -> Person:
    """The user of an id, or the visitor of a history.

    Raises:
        UserError: both or neither are given, they name nothing of the pair, or the model cannot serve a visitor.
    """
    if reviewer is not None and history:
        raise UserError("--user and --history are two people", do="give one of them")
    if reviewer is None:
        return visitor(recommender, history, day)
    if day is not None:
        raise UserError("--day is the day of a --history", do="leave it out: a user's interactions have their own days")
    user = recommender.user_id(reviewer)
    items, times = recommender.history(user)
    notes = _unread(recommender, items)
    return Person(reviewer, user, items, times, recommender.profiles.get(user), notes)


def visitor(recommender: PairRecommender, history: list[str], day: str | None) -> Person:
    """Somebody without an id.

    Raises:
        UserError: an item or a day is not understood, there is no item, or the model cannot serve a visitor.
    """
    given = read_history(history, Finder(recommender.items), datetime.date.today() if day is None else read_day(day))
    if not given:
        raise UserError(
            "the history is empty",
            do='name a user by --user, or what was bought: --history "ASIN,ASIN" or --history "a title"',
        )
    user, note = seat(recommender.network, recommender.trained)
    items = np.array([row.item for row in given], np.int64)
    times = np.array([row.day for row in given], np.int64) * SECONDS_PER_DAY
    notes = [row.note for row in given if row.note] + ([note] if note else []) + list(_unread(recommender, items))
    return Person(None, user, items, times, None, tuple(notes))


def read_history(values: list[str], finder: Finder, day: datetime.date) -> list[Given]:
    """Items of a typed history in time order, those of one day as they were given.

    A value is an ASIN or a title, ``…@YYYY-MM-DD`` where it has a day of its own, or several of them between commas.
    A title may hold commas itself: a value is a list where it is no title but a part of it is.

    Raises:
        UserError: an item or a day is not understood.
    """
    rows = []
    for value in values:
        for part in _parts(value, finder):
            text, when = _cut_day(part, day)
            found = finder.find(text)
            rows.append(Given(found.item, (when - EPOCH).days, found.note))
    return sorted(rows, key=lambda row: row.day)


def read_day(text: str) -> datetime.date:
    """A day as YYYY-MM-DD.

    Raises:
        UserError: it is none.
    """
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{text!r} is not a day", do="write it as YYYY-MM-DD, for example 2014-05-01") from error


def needs_user(settings: Any) -> bool:
    """Whether a model of these settings learned a vector for every user, so that it has none for a visitor."""
    return isinstance(settings, hgn.Settings) or (
        isinstance(settings, lecdsr.Settings) and settings.user_text == "none"
    )


def seat(network: Recommender, settings: Any) -> tuple[int, str]:
    """The user row that a model may read for a visitor, and what to tell of it.

    Most models never read it. One that reads profiles is given that of a user of whom nothing is written: zeros.

    Raises:
        UserError: the model has nothing to read for somebody it was not trained on.
    """
    if needs_user(settings):
        raise UserError(
            "this model learned a vector for every user, and has none for a visitor",
            do="choose another by --model: lecdsr, sasrec, abxi, itemknn and content read the history alone",
        )
    if not isinstance(network, lecdsr.LeCDSR):
        return 0, ""
    vectors = network.user_vectors
    assert isinstance(vectors, torch.Tensor)
    if len(vectors) == network.info.n_users:
        network.user_vectors = torch.cat([vectors, torch.zeros_like(vectors[:1])])
    return network.info.n_users, "a visitor has no profile: the model reads that of a user without one, zeros"


def _unread(recommender: PairRecommender, items: IntArray) -> tuple[str, ...]:
    if recommender.trained.domains != "own":
        return () if len(items) else ("the history is empty: the order below is the same for everybody",)
    in_y = items >= recommender.info.n_x
    missing = [DOMAINS[code] for code in (0, 1) if not (in_y == bool(code)).any()]
    return tuple(
        f"the model reads of each domain its own history alone, and there is none of domain {domain}: "
        "what it says there says nothing"
        for domain in missing
    )


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
