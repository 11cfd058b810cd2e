"""Requests and responses of the service; keys are those of ``lecdsr recommend --json`` and the other commands."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lecdsr.core.errors import UserError

MOST_ITEMS = 1000
MOST_FOUND = 100
_TEXT = 500

Name = Annotated[str, Meta(min_length=1, max_length=_TEXT, description="ASIN or title of an item.")]
Day = Annotated[
    str,
    Meta(max_length=10, description="Day as YYYY-MM-DD, UTC; not in the future.", extra_json_schema={"format": "date"}),
]
Number = Annotated[int, Meta(ge=1, le=MOST_ITEMS, description="Number of items in each domain.")]


class HistoryItem(Struct, forbid_unknown_fields=True):
    """An item of a history and its day."""

    item: Name
    day: Day | None = None


class _User(Struct, forbid_unknown_fields=True, kw_only=True):
    user: Annotated[str, Meta(max_length=_TEXT, description="Id of a user, as in the raw data.")] | None = None
    history: (
        Annotated[
            list[Name | HistoryItem],
            Meta(max_length=MOST_ITEMS, description="History of an anonymous user, oldest first; instead of `user`."),
        ]
        | None
    ) = None
    day: Annotated[Day, Meta(description="Day of history items without their own; default today.")] | None = None


class RecommendRequest(_User):
    """Whom to recommend to, and what: give `user` or `history`."""

    domain: Annotated[str, Meta(max_length=_TEXT, description="x, y, the name of one of them, or both.")] = "both"
    k: Number = 10
    exclude_owned: Annotated[bool, Meta(description="Leave out items of the history.")] = True
    latest: Annotated[int, Meta(ge=0, le=MOST_ITEMS, description="Latest history items to return.")] = 0


class ExplainRequest(_User):
    """Whose score to explain, and of which item: give `user` or `history`."""

    item: Name


class Item(Struct):
    """An item; `domain` is x or y, `title` is null if it has none."""

    asin: str
    domain: str
    title: str | None
    categories: str


class ScoredItem(Item):
    """An item with its score."""

    score: float


class SimilarItem(Item):
    """An item with its similarity, at most 1."""

    similarity: float


class DatedItem(Item):
    """An item of a history."""

    day: str


class Contribution(DatedItem):
    """An item of a history with its contribution: the drop in score without it, null if the model does not read it."""

    contribution: float | None
    similarity: float | None


class Recommendations(Struct):
    """Recommendations by domain, best first; scores of different models cannot be compared."""

    pair: str
    model: str
    domains: dict[str, str]
    user: str | None
    profile: str | None
    history: list[DatedItem]
    notes: list[str]
    recommendations: dict[str, list[ScoredItem]]


class Explanation(Struct):
    """Score and rank of an item for a user, with its parts and the contribution of each history item."""

    pair: str
    model: str
    user: str | None
    item: Item
    score: float
    rank: float
    among: int
    owned: bool
    parts: dict[str, float] | None
    not_split: str | None
    history: list[Contribution]
    notes: list[str]


class Similar(Struct):
    """Items that are most similar to one, by domain."""

    pair: str
    model: str
    item: Item
    notes: list[str]
    similar: dict[str, list[SimilarItem]]


class Items(Struct):
    """Items whose titles contain all words of a query."""

    items: list[Item]


class Health(Struct):
    """What is served; ``examples`` are the items of each domain with the most training interactions."""

    status: str
    pair: str
    model: str
    domains: dict[str, str]
    users: int
    items: dict[str, int]
    anonymous: bool
    examples: list[Item]
    version: str


class ErrorBody(Struct):
    """What happened, where, and what to do; `code` is for programs."""

    what: str
    where: str | None
    do: str | None
    code: str | None


class Error(Struct):
    """A request that was refused."""

    error: ErrorBody


_recommend, _explain = msgspec.json.Decoder(RecommendRequest), msgspec.json.Decoder(ExplainRequest)
encode = msgspec.json.Encoder().encode


def read_recommend(body: bytes) -> RecommendRequest:
    """Parse and check a request.

    Raises:
        UserError: it is not JSON, or a value is wrong.
    """
    request: RecommendRequest = _read(_recommend, body)
    return request


def read_explain(body: bytes) -> ExplainRequest:
    """Parse and check a request.

    Raises:
        UserError: it is not JSON, or a value is wrong.
    """
    request: ExplainRequest = _read(_explain, body)
    return request


def _read(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    see = "see the schema of the request in /openapi.json"
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise UserError(
            f"a value of the request is wrong: {_lower(problem)}", place.rstrip("`") or "body", see, code="wrong-value"
        ) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        what = f"the request is not valid JSON ({_lower(str(error))})"
        raise UserError(what, where="body", do=see, code="malformed-json") from None


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
