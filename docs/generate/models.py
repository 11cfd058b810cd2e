"""Every class of ``lecdsr.models``, as a section: its settings as keywords, and what its file says of it."""

from __future__ import annotations

import inspect

from lecdsr.api.model import estimator
from lecdsr.models.registry import model_names

#: Only the docstring of the module: its classes are the network, which few callers need.
OPTIONS = "    options: {members: false, show_root_heading: false, show_root_toc_entry: false}"


def model_classes() -> str:
    """Markdown of all model classes: a heading, the signature, and the docstring of the file."""
    return "\n\n".join(_section(name) for name in model_names())


def _section(name: str) -> str:
    model = estimator(name)
    title = f"lecdsr.models.{model.__name__}"
    keywords = [str(one) for one in inspect.signature(model).parameters.values()]
    signature = "\n".join([f"{model.__name__}(", "    *,", *(f"    {keyword}," for keyword in keywords), ")"])
    return "\n\n".join(
        [
            f"### `{title}` {{#{title}}}",
            f"```python\n{signature}\n```",
            f"::: lecdsr.models.{name}\n{OPTIONS}",
            f"Each keyword is explained under [`train.{name}`](parameters.md#train{name}).",
        ]
    )
