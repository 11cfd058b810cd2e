"""A server's raw reply read as vectors; what is not exactly what was asked for is no vector."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from lecdsr.ask.reply import error_message, plain, usage_of
from lecdsr.ask.types import Failure, Usage
from lecdsr.embed.cached import Vectors, normalised


def read_vectors(raw: str, count: int, width: int | None) -> tuple[Vectors, Usage] | Failure:
    """Read the JSON of a reply of ``/v1/embeddings`` to ``count`` texts.

    Args:
        raw: the reply; vectors in it are lists of numbers or base64 of little-endian float32.
        count: texts that were sent.
        width: width of the vectors before these; None if there were none.

    Returns:
        ``[count, width]``, rows of length 1, and the tokens counted; or why there is none: the reply is no
        JSON, its vectors are too few, too many, out of order, of another width, not finite, or zero.
    """
    try:
        reply = json.loads(raw)
    except ValueError:
        return Failure("reply is not JSON", plain(raw, 80))
    data = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        return Failure("reply has no vectors", plain(error_message(reply), 200))
    usage = usage_of(reply)
    if len(data) != count:
        return Failure("wrong number of vectors", f"{len(data):,} for {count:,} texts", usage=usage)
    if [row.get("index") for row in data] != list(range(count)):
        return Failure("vectors out of order", usage=usage)
    try:
        rows = [_vector(row.get("embedding")) for row in data]
    except (TypeError, ValueError) as error:
        return Failure("vector cannot be read", plain(str(error), 80), usage=usage)
    wanted = width or len(rows[0])
    if odd := next((len(row) for row in rows if len(row) != wanted), None):
        return Failure("wrong width", f"a vector is {odd:,} wide, others {wanted:,}", usage=usage)
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        return Failure("vector is not finite", usage=usage)
    if not vectors.any(axis=1).all():
        return Failure("vector is zero", usage=usage)
    return normalised(vectors), usage


def _vector(given: Any) -> Vectors:
    """``[width]``.

    Raises:
        TypeError, ValueError: neither a list of numbers nor base64 of float32.
    """
    if isinstance(given, str):
        return np.frombuffer(base64.b64decode(given, validate=True), "<f4").astype(np.float32)
    if not isinstance(given, list) or not all(type(number) in (int, float) for number in given) or not given:
        raise TypeError("neither a list of numbers nor base64")
    return np.asarray(given, np.float32)
