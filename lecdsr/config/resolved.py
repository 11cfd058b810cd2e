"""Read the resolved settings of a stage, which the stage ``settings`` writes under data/PAIR/settings."""

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

#: Facts about the pair and the selection (``models``) that each stage reads; a change of other facts does not rerun it.
FACTS: Mapping[str, tuple[str, ...]] = {
    "download": PAIR_KEYS,
    "sequences": PAIR_KEYS,
    "card": PAIR_KEYS,
    "prompts": ("domains",),
    "ask": ("domains",),
    "embed": ("domains",),
    TRAIN: ("synthetic",),
    "report": ("domains", "synthetic", "models"),
}


@dataclass(frozen=True)
class Resolved(Generic[B]):
    """Resolved settings of a stage or model.

    Args:
        settings: settings of the stage or model itself.
        facts: facts about the pair that the stage may read (:data:`FACTS`), and the pair's name.
        shared: settings shared by all models; empty except for training.
    """

    settings: B
    facts: dict[str, Any]
    shared: dict[str, Any]

    @property
    def pair(self) -> Pair:
        """Settings of the pair, for a stage that may read all of them."""
        return Pair.model_validate({key: self.facts[key] for key in ("name", *PAIR_KEYS)})

    @property
    def domains(self) -> tuple[str, str]:
        """Names of the two domains, X and Y."""
        x, y = self.facts["domains"]
        return x, y

    @property
    def synthetic(self) -> bool:
        """Whether the pair's raw files are generated."""
        return bool(self.facts["synthetic"])

    @property
    def models(self) -> list[str]:
        """Names of the selected models."""
        return list(self.facts["models"])


def read_resolved(path: Path, schema: type[B]) -> Resolved[B]:
    """Read the resolved settings of a stage or model.

    Raises:
        UserError: the file is missing or broken, or was written by another version of the code.
    """
    values = read_json(path)
    settings = check_values(schema, values.get("settings", {}), str(path))
    return Resolved(settings, dict(values.get("facts", {})), dict(values.get("shared", {})))
