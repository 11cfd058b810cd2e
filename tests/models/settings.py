"""Settings of small models for tests: those of params.yaml, with some changed."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lecdsr.models import lecdsr, sasrec
from lecdsr.models.registry import find_model
from lecdsr.train.settings import Shared

PARAMS = Path(__file__).parents[2] / "params.yaml"


def block_of(name: str) -> dict[str, Any]:
    """The block of params.yaml; empty for a model that has none, so its defaults hold."""
    return dict(YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))["train"].get(name) or {})


def settings_for(model: str, **changed: Any) -> Any:
    return find_model(model).settings.model_validate({**block_of(model), **changed})


def lecdsr_settings(**changed: Any) -> lecdsr.Settings:
    return settings_for("lecdsr", **changed)


def sasrec_settings(**changed: Any) -> sasrec.Settings:
    return settings_for("sasrec", **changed)


def shared_settings(**changed: Any) -> Shared:
    return Shared.model_validate({**block_of("shared"), **changed})
