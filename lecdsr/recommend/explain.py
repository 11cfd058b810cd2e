"""Explain the score of an item for a user, and find similar items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from lecdsr.core.errors import UserError
from lecdsr.evaluate.ranks import rank
from lecdsr.recommend.recommender import Line, PairRecommender
from lecdsr.recommend.user import TargetUser


class Contribution(NamedTuple):
    """Contribution of a history item: the drop in score without it, and its similarity to the explained item.

    ``drop`` is ``None`` if the model does not read this item, ``similarity`` if the model does not compare items.
    """

    line: Line
    drop: float | None
    similarity: float | None


@dataclass(frozen=True)
class Explanation:
    """Explanation of the score of one item for one user.

    Args:
        item: the item with its score.
        owned: whether it is in the history.
        rank: rank of the item among the items of its domain that are not owned, 1 is best; ties count half.
        among: number of these items, including the item itself.
        parts: summands of the score by name; empty if the score is not split.
        not_split: reason why the score is not split.
        contributions: contributions of the history items in time order.
    """

    item: Line
    owned: bool
    rank: float
    among: int
    parts: dict[str, float]
    not_split: str
    contributions: list[Contribution]


@torch.no_grad()
def explain(recommender: PairRecommender, user: TargetUser, item: int) -> Explanation:
    """Explain the score and rank of an item for a user.

    Raises:
        UserError: a score is NaN.
    """
    domain = int(item >= recommender.info.n_x)
    items = recommender.info.items_of(domain)
    scores = recommender.scores(user.row, user.items, user.times, domain)
    score = float(scores[item - items.start])
    owned = np.unique(user.items[(user.items >= items.start) & (user.items < items.stop)])
    scores[torch.from_numpy(owned[owned != item] - items.start)] = float("-inf")
    parts = _parts(recommender, user, item)
    return Explanation(
        item=recommender.line(item, score=score),
        owned=item in owned,
        rank=float(rank(scores.unsqueeze(0), torch.tensor([item - items.start]))),
        among=int((scores > float("-inf")).sum()),
        parts=parts,
        not_split="" if parts else recommender.network.score_note(),
        contributions=_contributions(recommender, user, item),
    )


def _parts(recommender: PairRecommender, user: TargetUser, item: int) -> dict[str, float]:
    split = recommender.key_parts
    if split is None:
        return {}
    query = recommender.query(user.row, user.items, user.times, int(item >= recommender.info.n_x))  # [d]
    parts = {name: float(query @ keys[item].cpu()) for name, keys in split.items()}
    if recommender.bias is not None:
        parts[recommender.network.bias_name] = float(recommender.bias[item])
    profile = recommender.rerank_part(user.row, user.items, user.times, item)
    return parts if profile is None else {**parts, "profile": profile}


def _contributions(recommender: PairRecommender, user: TargetUser, item: int) -> list[Contribution]:
    drops = recommender.contributions(user.row, user.items, user.times, item)
    similarities = recommender.item_similarities(item)
    return [
        Contribution(
            recommender.line(int(owned), int(time)),
            None if np.isnan(drop) else float(drop),
            None if similarities is None else float(similarities[owned]),
        )
        for owned, time, drop in zip(user.items, user.times, drops, strict=True)
    ]


@torch.no_grad()
def similar(recommender: PairRecommender, item: int, domain: int, k: int) -> list[Line]:
    """Return the ``k`` items of a domain that are most similar to ``item``, without the item itself.

    Raises:
        UserError: the model does not compare items, or knows nothing about this one.
    """
    similarities = recommender.item_similarities(item)
    if similarities is None:
        raise UserError(
            "this model has no item vectors or neighbours, so it has no similar items",
            where="--model",
            do="name a model with item vectors, or itemknn",
            code="no-similarity",
        )
    if not bool(similarities.any()):
        raise UserError(
            f"the model knows nothing about {recommender.line(item).asin}: it has no training interactions and no text",
            do="choose another item, or name a model that reads texts with --model",
            code="unknown-vector",
        )
    items = recommender.info.items_of(domain)
    similarities[item] = float("-inf")
    if (
        not recommender.network.is_two_tower
    ):  # similarities are counted for a few neighbours only; zero means not counted
        similarities[similarities == 0] = float("-inf")
    similarities = similarities[items]
    top = torch.topk(similarities, min(k, int((similarities > float("-inf")).sum())))
    return [
        recommender.line(int(place) + items.start, score=float(value))
        for value, place in zip(top.values, top.indices, strict=True)
    ]
