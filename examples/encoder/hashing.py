"""Encode texts as bags of hashed words (Weinberger et al., ICML 2009), without a model or weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lecdsr.embed.base import CachedEncoder, Vectors, normalised

CHUNK = 512
_WORD = re.compile(r"\w+")


class HashingEncoder(CachedEncoder):
    """Encoder in which the hash of every word adds +1 or -1 to one component; vectors have length 1."""

    def __init__(self, width: int) -> None:
        self._width = width

    @property
    def width(self) -> int:
        """Number of components of a vector."""
        return self._width

    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        """Return keys made of everything that determines a vector: the method, its width and the text."""
        return {text: hashlib.sha256(f"hashing {self._width} {text}".encode()).hexdigest() for text in texts}

    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        """Yield a few hundred texts with their vectors at a time; vectors are stored as soon as they are yielded."""
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            yield chunk, normalised(np.stack([self._vector(text) for text in chunk]))

    def _vector(self, text: str) -> Vectors:
        row = np.zeros(self._width, np.float32)
        for word in _WORD.findall(text.lower()):
            number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            row[number // 2 % self._width] += 1 if number % 2 else -1
        return row
