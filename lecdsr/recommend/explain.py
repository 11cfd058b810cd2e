"""Why an item has its score for a person, and which items are like one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from lecdsr.base.errors import UserError
from lecdsr.ranking.ranks import rank
from lecdsr.recommend.parts import has_towers, key_parts, likeness, why_whole
from lecdsr.recommend.person import Person
from lecdsr.recommend.shop import Line, Shop


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
def explain(shop: Shop, person: Person, item: int) -> Explanation:
    """Score and rank of an item for a person, and what brought them about.

    Raises:
        UserError: a score is NaN.
    """
    domain = int(item >= shop.catalogue.n_x)
    items = shop.catalogue.items_of(domain)
    scores = shop.scores(person.user, person.items, person.times, domain)
    score = float(scores[item - items.start])
    owned = np.unique(person.items[(person.items >= items.start) & (person.items < items.stop)])
    scores[torch.from_numpy(owned[owned != item] - items.start)] = float("-inf")
    parts = _parts(shop, person, item)
    return Explanation(
        item=shop.line(item, score=score),
        owned=item in owned,
        rank=float(rank(scores.unsqueeze(0), torch.tensor([item - items.start]))),
        among=int((scores > float("-inf")).sum()),
        parts=parts,
        whole="" if parts else why_whole(shop.network),
        reasons=_reasons(shop, person, item),
    )


def _parts(shop: Shop, person: Person, item: int) -> dict[str, float]:
    split = key_parts(shop.network)
    if split is None:
        return {}
    query = shop.query(person.user, person.items, person.times, int(item >= shop.catalogue.n_x))  # [d]
    return {name: float(query @ keys[item]) for name, keys in split.items()}


def _reasons(shop: Shop, person: Person, item: int) -> list[Reason]:
    differences = shop.contributions(person.user, person.items, person.times, item)
    alike = likeness(shop.network, item)
    return [
        Reason(
            shop.line(int(mine), int(time)),
            None if np.isnan(difference) else float(difference),
            None if alike is None else float(alike[mine]),
        )
        for mine, time, difference in zip(person.items, person.times, differences, strict=True)
    ]


def similar(shop: Shop, item: int, domain: int, k: int) -> list[Line]:
    """The ``k`` items of a domain that are most like ``item``, the likest first; the item itself is left out.

    Raises:
        UserError: the model does not compare items, or knows nothing of this one.
    """
    alike = likeness(shop.network, item)
    if alike is None:
        raise UserError("this model does not compare items", do="choose another by --model, for example lecdsr")
    if not bool(alike.any()):
        raise UserError(
            f"the model knows nothing of {shop.line(item).asin}: no training interactions that count, and no text",
            do="choose another item, or a model that reads texts by --model",
        )
    items = shop.catalogue.items_of(domain)
    alike[item] = float("-inf")
    if not has_towers(shop.network):  # zero is no likeness there, but none that was counted
        alike[alike == 0] = float("-inf")
    alike = alike[items]
    top = torch.topk(alike, min(k, int((alike > float("-inf")).sum())))
    return [
        shop.line(int(place) + items.start, score=float(value))
        for value, place in zip(top.values, top.indices, strict=True)
    ]
