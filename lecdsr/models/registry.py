"""Models by name. To add one: its file here, its block in params.yaml and the pairs, a line below."""

from __future__ import annotations

from typing import Any, NamedTuple

from lecdsr.base.errors import UserError
from lecdsr.models import abxi, content, hgn, itemknn, lecdsr, popularity, published, sasrec
from lecdsr.models.settings import ModelSettings


class Entry(NamedTuple):
    """The type of a model's settings and the model itself, built as ``model(settings, catalogue, seed)``."""

    settings: type[ModelSettings]
    model: Any


MODELS = {
    "popularity": Entry(popularity.Settings, popularity.Popularity),
    "itemknn": Entry(itemknn.Settings, itemknn.ItemKNN),
    "content": Entry(content.Settings, content.Content),
    "hgn": Entry(hgn.Settings, hgn.HGN),
    "sasrec": Entry(sasrec.Settings, sasrec.SASRec),
    "abxi": Entry(abxi.Settings, abxi.ABXI),
    "lecdsr": Entry(lecdsr.Settings, lecdsr.LeCDSR),
    "published": Entry(published.Settings, published.Published),
}


def entry(name: str) -> Entry:
    """Settings and class of a model.

    Raises:
        UserError: there is no such model.
    """
    if name not in MODELS:
        raise UserError(f"there is no model {name!r}", where="params.yaml: models", do=f"use {', '.join(MODELS)}")
    return MODELS[name]
