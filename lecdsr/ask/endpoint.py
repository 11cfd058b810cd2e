"""Which call of the API is made, and how a reply to it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lecdsr.ask.types import Outcome, Question


@dataclass(frozen=True)
class Endpoint:
    """One call of the API; errors, caps and pauses are the same for all of them.

    ``path``: after the base address. ``read``: the outcome of a reply with a status of success.
    ``model_key`` and ``provider_key``: the settings that name the model, and that would ask no server.
    """

    path: str
    read: Callable[[Question, str], Outcome]
    model_key: str
    provider_key: str
