"""Registry of models by name; a model is a file ``NAME.py`` here that defines ``Settings`` and one ``Recommender``."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import NamedTuple

from lecdsr.config.names import model_names
from lecdsr.core.errors import UserError, did_you_mean
from lecdsr.models.base import ModelSettings, Recommender

__all__ = ["Entry", "find_model", "model_names"]


class Entry(NamedTuple):
    """Settings class and class of a model, which is built as ``recommender(settings, info, seed)``."""

    settings: type[ModelSettings]
    recommender: type[Recommender]


@functools.cache
def find_model(name: str) -> Entry:
    """Import the file of a model and return its settings and class.

    Raises:
        UserError: there is no such model.
        TypeError: the file does not define ``Settings`` and exactly one ``Recommender``.
    """
    if name not in model_names():
        raise UserError(
            f"there is no model {name!r}{did_you_mean(name, model_names())}",
            where="params.yaml: models",
            do=f"use one of {', '.join(model_names())}, or add lecdsr/models/{name}.py",
            code="unknown-model",
        )
    module = importlib.import_module(f"lecdsr.models.{name}")
    found = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Recommender) and value.__module__ == module.__name__
    ]
    settings = getattr(module, "Settings", None)
    if len(found) != 1 or not (inspect.isclass(settings) and issubclass(settings, ModelSettings)):
        raise TypeError(f"{module.__file__}: expected a class Settings(ModelSettings) and exactly one Recommender")
    return Entry(settings, found[0])
