"""Models, one file each, their registry, and a class of the Python interface for each model.

``lecdsr.models.Tandem`` is the estimator of ``tandem.py``. The interface is loaded when a class is first used, so that
a stage that imports a model does not depend on it.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # Names of files are lower case; answering them here would hide the modules from `from lecdsr.models import tandem`.
    found = _find(name) if name[:1].isupper() else None
    if found is None:
        hint = f"; there are {', '.join(_classes())}" if name[:1].isupper() else ""
        raise AttributeError(f"module 'lecdsr.models' has no attribute {name!r}{hint}")
    return import_module("lecdsr.api.model").estimator(found)


def __dir__() -> list[str]:
    return sorted([*globals(), *_classes()])


def _find(name: str) -> str | None:
    """Find the model of a class; a file is named like its class, in lower case and perhaps with underscores."""
    registry = import_module("lecdsr.models.registry")
    files = {model.replace("_", ""): model for model in registry.model_names()}
    model = files.get(name.lower())
    return model if model is not None and registry.find_model(model).recommender.__name__ == name else None


def _classes() -> list[str]:
    registry = import_module("lecdsr.models.registry")
    return [registry.find_model(model).recommender.__name__ for model in registry.model_names()]
