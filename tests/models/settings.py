"""Settings of small models for tests: those of params.yaml, with some changed."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lecdsr.models import published, sasrec
from lecdsr.train.settings import Shared

PARAMS = Path(__file__).parents[2] / "params.yaml"


def _block(name: str) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))["train"][name])


def published_settings(**changed: Any) -> published.Settings:
    return published.Settings.model_validate({**_block("published"), **changed})


def sasrec_settings(**changed: Any) -> sasrec.Settings:
    return sasrec.Settings.model_validate({**_block("sasrec"), **changed})


def shared_settings(**changed: Any) -> Shared:
    return Shared.model_validate({**_block("shared"), **changed})
