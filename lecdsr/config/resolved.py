"""What one stage reads of the settings: its file under data/PAIR/settings, written by the stage ``settings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from lecdsr.config.load import TRAIN, check_values
from lecdsr.config.pair import PAIR_KEYS, Pair
from lecdsr.config.schema import Block
from lecdsr.core.files import read_json

B = TypeVar("B", bound=Block)

#: What a stage may know of its pair, and of the selection (``models``): what it does not know cannot make it run again.
FACTS: Mapping[str, tuple[str, ...]] = {
    "download": PAIR_KEYS,
    "sequences": PAIR_KEYS,
    "card": PAIR_KEYS,
    "prompts": ("domains",),
    TRAIN: ("synthetic",),
    "report": ("domains", "synthetic", "models"),
}


@dataclass(frozen=True)
class Resolved(Generic[B]):
    """What one stage reads of the settings.

    Args:
        settings: the stage's or the model's own.
        facts: what the stage may know of its pair (:data:`FACTS`), and the pair's name.
        shared: settings that hold for every model; empty but for training.
    """

    settings: B
    facts: dict[str, Any]
    shared: dict[str, Any]

    @property
    def pair(self) -> Pair:
        """The whole pair, for a stage that may know all of it."""
        return Pair.model_validate({key: self.facts[key] for key in ("name", *PAIR_KEYS)})

    @property
    def domains(self) -> tuple[str, str]:
        """Names of the two domains."""
        x, y = self.facts["domains"]
        return x, y

    @property
    def synthetic(self) -> bool:
        """Whether the pair's raw files are generated."""
        return bool(self.facts["synthetic"])

    @property
    def models(self) -> list[str]:
        """Models that the selection names."""
        return list(self.facts["models"])


def read_resolved(path: Path, schema: type[B]) -> Resolved[B]:
    """Read what the stage ``settings`` wrote for one stage or model.

    Raises:
        UserError: the file is missing or broken, or was written for other code.
    """
    values = read_json(path)
    settings = check_values(schema, values.get("settings", {}), str(path))
    return Resolved(settings, dict(values.get("facts", {})), dict(values.get("shared", {})))
