"""Cross-domain sequential recommendation with LLM profiles, as a pipeline and as a Python library.

``lecdsr.Dataset``, ``lecdsr.models``, ``lecdsr.evaluate`` and the other names in ``__all__`` are the Python interface
(docs/python.md). They are loaded at first use, so that importing the package is fast and has no side effects. The
packages below are the pipeline: each stage in ``dvc.yaml`` has a package of the same name.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["Dataset", "Model", "compare", "evaluate", "load", "load_pair", "models"]

# Modules of the public names; the static types are in __init__.pyi.
_MODULES = {
    "Dataset": "lecdsr.api.dataset",
    "Model": "lecdsr.api.model",
    "compare": "lecdsr.api.evaluation",
    "evaluate": "lecdsr.api.evaluation",
    "load": "lecdsr.api.model",
    "load_pair": "lecdsr.api.dataset",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lecdsr' has no attribute {name!r}")
    import_module("lecdsr.core.threads").prepare_environment()  # before PyTorch is loaded
    if name == "models":
        return import_module("lecdsr.models")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
