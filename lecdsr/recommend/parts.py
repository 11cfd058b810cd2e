"""What there is to say of a model beyond its scores: which part of a score is text, which items are alike."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lecdsr.models.abxi import ABXI
from lecdsr.models.base import Recommender
from lecdsr.models.content import Content
from lecdsr.models.itemknn import ItemKNN
from lecdsr.models.lecdsr import LeCDSR
from lecdsr.models.popularity import Popularity
from lecdsr.models.sasrec import SASRec
from lecdsr.models.tandem import Tandem


def has_towers(network: Recommender) -> bool:
    """Whether its score is query · key + bias."""
    return type(network).keys is not Recommender.keys


@torch.no_grad()
def key_parts(network: Recommender) -> dict[str, Tensor] | None:
    """Addends of the keys, ``[N, d]`` each, for a model whose keys have an id and a text; ``None`` for others.

    A score is then the sum of query · part. In ``tandem`` both parts are divided by the length of their sum, and the
    untrained texts are part of the text.
    """
    if not isinstance(network, Tandem | SASRec):
        return None
    ids, text = network.addends()  # [N+1, d]
    if text is None:
        return None
    if isinstance(network, Tandem):
        length = (ids + text).norm(dim=1, keepdim=True).clamp(min=1e-12)
        ids, text = ids / length, text / length
    n = network.info.n_items
    keys = network.keys()[0]
    untrained = keys[:, ids.shape[1] :]  # [N, D], or no columns
    return {
        "id": torch.cat([ids[:n], torch.zeros_like(untrained)], dim=1),
        "text": torch.cat([text[:n], untrained], dim=1),
    }


def why_whole(network: Recommender) -> str:
    """Why a model's score is not split into id and text."""
    if isinstance(network, Popularity):
        return "it counts interactions, and reads neither history nor text"
    if isinstance(network, LeCDSR) and not (network.adapter_text is None and network.adapter_user is None):
        return "items are scored by their ids alone; texts reach the score through the history and the profile"
    if isinstance(network, Content):
        return "it reads texts alone"
    return "it reads ids alone"


@torch.no_grad()
def likeness(network: Recommender, item: int) -> Tensor | None:
    """``[N]`` how like ``item`` the model holds every item: the cosine of their keys.

    For ``itemknn`` the similarity that it counted, zero but for the neighbours of ``item``. ``None`` where a model
    does not compare items.

    Returns:
        Values from -1 to 1; zeros for items, and of items, whose key is zero.
    """
    if isinstance(network, ItemKNN):
        row, values = cast(Tensor, network.neighbours)[item].long(), cast(Tensor, network.similarities)[item]
        return torch.zeros(network.info.n_items).scatter_add_(0, row, values)
    unit = directions(network)
    return None if unit is None else unit @ unit[item]


@torch.no_grad()
def directions(network: Recommender) -> Tensor | None:
    """``[N, d]`` keys of length 1, zero where a key is; ``None`` where a model has no keys that compare items."""
    if isinstance(network, Popularity) or not has_towers(network):
        return None
    keys = network.keys()[0]
    if isinstance(network, ABXI):  # an item's embedding stands in the half of its domain, the other is zero
        keys = keys[:, : network.settings.width] + keys[:, network.settings.width :]
    return F.normalize(keys.float(), dim=1)
