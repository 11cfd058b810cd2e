"""Compose the texts to encode, one per item and user, and measure how similar profiles are to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.embed.settings import Settings


def item_texts(items: pa.Table, answers: pa.Table, settings: Settings) -> list[str]:
    """Join the chosen fields of every item with full stops, cut to the maximum length."""
    described = _answers(answers, "item", len(items))
    columns = {
        "title": items["title"].to_pylist(),
        "brand": items["brand"].to_pylist(),
        "categories": [", ".join(names) for names in items["categories"].to_pylist()],
        "description": items["description"].to_pylist(),
        "answer": described,
    }
    rows = zip(*(columns[part] for part in settings.item_text), strict=True)
    return [". ".join(text for text in row if text)[: settings.max_characters] for row in rows]


def user_texts(users: pa.Table, answers: pa.Table, settings: Settings) -> list[str]:
    """Return the profile of every user, cut to the maximum length; empty for a user without a profile."""
    return [text[: settings.max_characters] for text in _answers(answers, "user", len(users))]


def _answers(answers: pa.Table, kind: str, count: int) -> list[str]:
    """Return the answers of one kind by id; empty where there is no answer."""
    texts = [""] * count
    columns = (answers[name].to_pylist() for name in ("kind", "id", "text"))
    for this, place, text in zip(*columns, strict=True):
        if this == kind and text:
            texts[place] = text
    return texts


def mean_cosine(rows: NDArray[np.float32]) -> float:
    """Compute the mean cosine over all pairs of unit vectors ``[n, width]``; 0 for fewer than two vectors."""
    # The squared length of the sum of all rows is n plus twice the sum over all pairs.
    count = len(rows)
    if count < 2:
        return 0.0
    total = rows.sum(axis=0, dtype=np.float64)
    return round(float((total @ total - count) / (count * (count - 1))), 6)


def share_of_duplicates(texts: Sequence[str]) -> float:
    """Compute the share of texts that occur more than once; 0 without texts."""
    twice = sum(number for number in Counter(texts).values() if number > 1)
    return round(twice / len(texts), 6) if texts else 0.0
