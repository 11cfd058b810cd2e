"""Why an item has its score for a person, and which items are like one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from lecdsr.core.errors import UserError
from lecdsr.evaluate.ranks import rank
from lecdsr.recommend.parts import has_towers, key_parts, likeness, why_whole
from lecdsr.recommend.recommender import Line, PairRecommender
from lecdsr.recommend.user import Person


class Reason(NamedTuple):
    """An item of the history: what the score loses without it, and how like the explained item it is.

    ``contribution`` is ``None`` where the model does not read this item, ``cosine`` where it compares no items.
    """

    line: Line
    contribution: float | None
    cosine: float | None


@dataclass(frozen=True)
class Explanation:
    """One item for one person.

    Args:
        item: the item with its score.
        owned: whether it is in the history.
        rank: its place among the items of its domain that are not owned, 1 the best, ties count half.
        among: how many these are, with the item itself.
        parts: addends of the score; empty where it is not split.
        whole: why it is not split.
        reasons: the history in time order.
    """

    item: Line
    owned: bool
    rank: float
    among: int
    parts: dict[str, float]
    whole: str
    reasons: list[Reason]


@torch.no_grad()
def explain(recommender: PairRecommender, person: Person, item: int) -> Explanation:
    """Score and rank of an item for a person, and what brought them about.

    Raises:
        UserError: a score is NaN.
    """
    domain = int(item >= recommender.info.n_x)
    items = recommender.info.items_of(domain)
    scores = recommender.scores(person.user, person.items, person.times, domain)
    score = float(scores[item - items.start])
    owned = np.unique(person.items[(person.items >= items.start) & (person.items < items.stop)])
    scores[torch.from_numpy(owned[owned != item] - items.start)] = float("-inf")
    parts = _parts(recommender, person, item)
    return Explanation(
        item=recommender.line(item, score=score),
        owned=item in owned,
        rank=float(rank(scores.unsqueeze(0), torch.tensor([item - items.start]))),
        among=int((scores > float("-inf")).sum()),
        parts=parts,
        whole="" if parts else why_whole(recommender.network),
        reasons=_reasons(recommender, person, item),
    )


def _parts(recommender: PairRecommender, person: Person, item: int) -> dict[str, float]:
    split = key_parts(recommender.network)
    if split is None:
        return {}
    query = recommender.query(person.user, person.items, person.times, int(item >= recommender.info.n_x))  # [d]
    return {name: float(query @ keys[item]) for name, keys in split.items()}


def _reasons(recommender: PairRecommender, person: Person, item: int) -> list[Reason]:
    differences = recommender.contributions(person.user, person.items, person.times, item)
    alike = likeness(recommender.network, item)
    return [
        Reason(
            recommender.line(int(mine), int(time)),
            None if np.isnan(difference) else float(difference),
            None if alike is None else float(alike[mine]),
        )
        for mine, time, difference in zip(person.items, person.times, differences, strict=True)
    ]


def similar(recommender: PairRecommender, item: int, domain: int, k: int) -> list[Line]:
    """The ``k`` items of a domain that are most like ``item``, the likest first; the item itself is left out.

    Raises:
        UserError: the model does not compare items, or knows nothing of this one.
    """
    alike = likeness(recommender.network, item)
    if alike is None:
        raise UserError("this model does not compare items", do="choose another by --model, for example lecdsr")
    if not bool(alike.any()):
        raise UserError(
            f"the model knows nothing of {recommender.line(item).asin}: it has no training interactions and no text",
            do="choose another item, or a model that reads texts by --model",
        )
    items = recommender.info.items_of(domain)
    alike[item] = float("-inf")
    if not has_towers(recommender.network):  # zero is no likeness there, but none that was counted
        alike[alike == 0] = float("-inf")
    alike = alike[items]
    top = torch.topk(alike, min(k, int((alike > float("-inf")).sum())))
    return [
        recommender.line(int(place) + items.start, score=float(value))
        for value, place in zip(top.values, top.indices, strict=True)
    ]
