"""The request behind a question: its canonical text, its key, and the part of it that is sent."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# One text for one request: keys sorted, no spaces, characters as they are.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def request_body(system: str, user: str, model: str, temperature: float, max_tokens: int, resample: int) -> str:
    """Canonical JSON of a chat request with one system and one user message.

    ``resample`` is part of the text, so that raising it gives every question a new key; no server
    is sent it (:func:`sent_part`).

    Raises:
        ValueError: the temperature is not a finite number.
    """
    return _CANONICAL.encode(
        {
            "model": model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": float(temperature),
            "max_tokens": max_tokens,
            "resample": resample,
        }
    )


def request_key(body: str) -> str:
    """Hexadecimal SHA-256 of a canonical body: the name of its answer in the answer store."""
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def sent_part(body: str) -> dict[str, Any]:
    """What of a canonical body is sent to a server: everything but ``resample``."""
    request: dict[str, Any] = json.loads(body)
    request.pop("resample", None)
    return request


def model_of(body: str) -> str:
    """Name of the model that a canonical body asks."""
    return str(json.loads(body)["model"])
