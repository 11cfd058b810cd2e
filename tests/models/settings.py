"""Settings of small models for tests: the defaults, with some of them changed."""

from typing import Any

from lecdsr.models import lecdsr, sasrec
from lecdsr.models.registry import find_model
from lecdsr.train.settings import SharedSettings


def settings_for(model: str, **changed: Any) -> Any:
    return find_model(model).settings(**changed)


def lecdsr_settings(**changed: Any) -> lecdsr.Settings:
    return settings_for("lecdsr", **changed)


def sasrec_settings(**changed: Any) -> sasrec.Settings:
    return settings_for("sasrec", **changed)


def shared_settings(**changed: Any) -> SharedSettings:
    return SharedSettings(**changed)
