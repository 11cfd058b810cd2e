"""Vectors of the local server, each determined by its text."""

import base64

import numpy as np

from tests.ask.loopback import Reply

WIDTH = 6


def raw_vector(text, width=WIDTH):
    """Return the server's vector of a text, which does not have length 1."""
    return np.random.default_rng(list(text.encode())).standard_normal(width).astype(np.float32) * 3


def unit(texts, width=WIDTH):
    """Return the expected vector of a text after processing."""
    rows = np.stack([raw_vector(text, width) for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def reply_to(texts, width=WIDTH, in_base64=True, wait=0.0, **fields):
    """Make a reply of ``/v1/embeddings``; a text counts as one token."""
    rows = [raw_vector(text, width) for text in texts]
    inputs = [base64.b64encode(row.tobytes()).decode() if in_base64 else row.tolist() for row in rows]
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(inputs)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return Reply(body={"object": "list", "data": data, "model": "m", "usage": usage, **fields}, wait=wait)
