"""Compose the texts to encode, of items and of profiles, and measure how similar profiles are to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.core.schemas import PROFILES
from lecdsr.embed.settings import Settings
from lecdsr.prompts.profile import parse_profile


def item_texts(items: pa.Table, answers: pa.Table, settings: Settings) -> list[list[str]]:
    """Join the chosen fields of every item with full stops, cut to the maximum length; one list for each text."""
    described = _answers(answers, "item", len(items))
    columns = {
        "title": items["title"].to_pylist(),
        "brand": items["brand"].to_pylist(),
        "categories": [", ".join(names) for names in items["categories"].to_pylist()],
        "description": items["description"].to_pylist(),
        "answer": described,
    }
    views = [zip(*(columns[part] for part in parts), strict=True) for parts in settings.item_views]
    return [[". ".join(text for text in row if text)[: settings.max_characters] for row in rows] for rows in views]


class ProfileTexts(NamedTuple):
    """Profiles as numbers of distinct texts.

    Args:
        table: table ``PROFILES``; one row for each profile that has a text.
        texts: the distinct texts: phrases, and whole profiles.
    """

    table: pa.Table
    texts: list[str]


def profile_texts(answers: pa.Table, domains: Sequence[str], settings: Settings) -> ProfileTexts:
    """Take apart the profiles of users into phrases for each domain.

    Args:
        answers: table ``ANSWERS``.
        domains: names of X and Y, which the answers name.
        settings: of the stage ``embed``; texts are cut to their maximum length.
    """
    chosen = answers.filter(pc.and_(pc.equal(answers["kind"], "user"), pc.greater(pc.utf8_length(answers["text"]), 0)))
    chosen = chosen.sort_by([("id", "ascending"), ("as_of", "ascending")])
    number: dict[str, int] = {}

    def numbers(texts: Iterable[str]) -> list[int]:
        return [number.setdefault(text[: settings.max_characters], len(number)) for text in texts]

    whole, lists = [], []
    for text in chosen["text"].to_pylist():
        profile = parse_profile(text, domains)
        lists.append([numbers(phrases) for phrases in profile.next])
        whole += numbers([text])
    columns = {
        "user": chosen["id"],
        "as_of": chosen["as_of"],
        "whole": whole,
        "next_x": [x for x, _ in lists],
        "next_y": [y for _, y in lists],
    }
    return ProfileTexts(pa.table(columns).cast(PROFILES), list(number))


def _answers(answers: pa.Table, kind: str, count: int) -> list[str]:
    """Return the answers of one kind by id; empty where there is no answer."""
    texts = [""] * count
    columns = (answers[name].to_pylist() for name in ("kind", "id", "text"))
    for this, place, text in zip(*columns, strict=True):
        if this == kind and text:
            texts[place] = text
    return texts


def profile_facts(profiles: ProfileTexts, vectors: NDArray[np.float32]) -> dict[str, float]:
    """Count profiles and phrases, and measure how similar whole profiles are to each other.

    Args:
        profiles: as texts.
        vectors: ``[texts, width]`` of the texts.
    """
    whole = profiles.table["whole"].to_numpy()
    listed = pc.list_value_length(profiles.table["next_x"]), pc.list_value_length(profiles.table["next_y"])
    return {
        "profiles": len(whole),
        "phrases_per_profile": round(sum(pc.sum(one).as_py() or 0 for one in listed) / max(1, len(whole)), 3),
        "profile_cosine": mean_cosine(vectors[whole]),
        "duplicate_profiles": share_of_duplicates([profiles.texts[place] for place in whole]),
    }


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
