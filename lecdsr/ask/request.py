"""Chat requests: canonical JSON, its key in the answer store, and the part that is sent."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# The same request always gives the same text: sorted keys, no spaces, no escaped characters.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def request_body(system: str, user: str, model: str, temperature: float, max_tokens: int, resample: int) -> str:
    """Return the canonical JSON of a chat request with one system and one user message.

    ``resample`` is part of the text, so that raising it gives every question a new key; it is not sent to the server
    (:func:`sent_part`).

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
    """Return the hexadecimal SHA-256 of a canonical body: the key of its answer in the answer store."""
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def sent_part(body: str) -> dict[str, Any]:
    """Return the part of a canonical body that is sent to a server: everything but ``resample``."""
    request: dict[str, Any] = json.loads(body)
    request.pop("resample", None)
    return request


def model_of(body: str) -> str:
    """Return the name of the model in a canonical body."""
    return str(json.loads(body)["model"])
