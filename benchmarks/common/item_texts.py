"""Texts of items in benchmarks/llm_text.py: title and description, and what stands in for a description."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer

Texts = list[str]
Views = Callable[[pa.Table, Sequence[str]], list[Texts]]
#: Rows of a matrix of similarities that are held at once.
BLOCK = 1000
NEAREST = 8


def titles(items: pa.Table, described: Sequence[str]) -> Texts:
    """Titles alone."""
    return [title or "" for title in items["title"].to_pylist()]


def with_descriptions(items: pa.Table, described: Sequence[str]) -> Texts:
    """Title and description."""
    return _joined(titles(items, described), described)


def with_rules(items: pa.Table, described: Sequence[str]) -> Texts:
    """Title and text by rules."""
    return _joined(titles(items, described), rules(items, described))


def with_descriptions_and_rules(items: pa.Table, described: Sequence[str]) -> Texts:
    """Title, description and text by rules."""
    return _joined(with_descriptions(items, described), rules(items, described))


def rules(items: pa.Table, described: Sequence[str]) -> Texts:
    """Text by rules, as long as the description: the titles of the same domain that are most similar in rare words."""
    names = titles(items, described)
    domain = items["domain"].to_numpy()
    written = [""] * len(names)
    for code in (0, 1):
        own = [place for place in np.flatnonzero(domain == code).tolist() if names[place]]
        for place, near in zip(own, _nearest([names[place] for place in own]), strict=True):
            words = " ".join(names[own[other]] for other in near if own[other] != place).split()
            written[place] = " ".join(words[: len(described[place].split())])
    return written


def with_shuffled(items: pa.Table, described: Sequence[str]) -> Texts:
    """Title and the description of another item."""
    known = [place for place, text in enumerate(described) if text]
    moved = list(described)
    for place, other in zip(known, np.random.default_rng(0).permutation(known), strict=True):
        moved[place] = described[other]
    return _joined(titles(items, described), moved)


def descriptions(items: pa.Table, described: Sequence[str]) -> Texts:
    """Descriptions alone."""
    return list(described)


def one(text: Callable[[pa.Table, Sequence[str]], Texts]) -> Views:
    """A single text of each item."""
    return lambda items, described: [text(items, described)]


#: Texts of each item, from the table ``ITEMS`` and the descriptions.
ITEM_TEXTS: dict[str, Views] = {
    "titles": one(titles),
    "titles + descriptions": one(with_descriptions),
    "titles | titles + descriptions": lambda *of: [titles(*of), with_descriptions(*of)],
    "titles + rules": one(with_rules),
    "titles + descriptions + rules": one(with_descriptions_and_rules),
    "titles + shuffled descriptions": one(with_shuffled),
    "descriptions": one(descriptions),
}


def _joined(first: Sequence[str], second: Sequence[str]) -> Texts:
    return [". ".join(text for text in row if text)[:1000] for row in zip(first, second, strict=True)]


def _nearest(texts: Sequence[str]) -> np.ndarray:
    """``[n, NEAREST]`` texts that share most rare words with each, most similar first."""
    rows = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    found = []
    for first in range(0, len(texts), BLOCK):
        similar = (rows[first : first + BLOCK] @ rows.T).toarray()
        found.append(np.argsort(-similar, axis=1, kind="stable")[:, :NEAREST])
    return np.concatenate(found)
