"""Names taken from files: a stage is a package with ``settings.py``, a model is a file in ``lecdsr/models``."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
#: Files of lecdsr/models that are not models.
_INFRASTRUCTURE = ("base", "registry", "saved")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@functools.cache
def stage_names() -> tuple[str, ...]:
    """List the names of all stages that have settings, sorted, without importing them."""
    return tuple(sorted(path.parent.name for path in _PACKAGE.glob("*/settings.py")))


@functools.cache
def model_names() -> tuple[str, ...]:
    """List the names of all models, sorted, without importing them."""
    stems = (path.stem for path in (_PACKAGE / "models").glob("*.py"))
    return tuple(sorted(stem for stem in stems if _NAME.fullmatch(stem) and stem not in _INFRASTRUCTURE))
