"""Several encoders side by side: the vector of a text is that of the first, followed by those of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lecdsr.embed.base import CachedEncoder, Vectors, normalised
from lecdsr.embed.store import VectorStore


class JoinedEncoder:
    """Encoders joined; each keeps its own vectors in the store, so adding one encodes nothing again.

    Models whiten each encoder's part by itself, because the scales of different encoders cannot be compared.

    Args:
        encoders: one or more.
    """

    def __init__(self, encoders: Sequence[CachedEncoder]) -> None:
        self.encoders = encoders
        self.widths: tuple[int, ...] = ()

    @property
    def encoded(self) -> int:
        """Number of texts encoded by this object, summed over the encoders."""
        return sum(encoder.encoded for encoder in self.encoders)

    @property
    def spent(self) -> float:
        """US dollars spent by this object, as far as prices are known."""
        return sum(encoder.spent for encoder in self.encoders)

    def encode(self, texts: Sequence[str], store: VectorStore) -> Vectors:
        """Return the vectors of texts, ``[len(texts), sum of widths]`` of length 1; an empty text has zeros.

        Raises:
            UserError: not every text can be encoded; the vectors so far are in the store.
        """
        rows = [encoder.encode(texts, store) for encoder in self.encoders]
        self.widths = tuple(part.shape[1] for part in rows)
        return side_by_side(rows)

    def encode_views(self, views: Sequence[Sequence[str]], store: VectorStore) -> Vectors:
        """Return the vectors of several texts of each item side by side, ``[items, texts * sum of widths]``.

        Args:
            views: the first text of every item, the second of every item, and so on.
            store: vector store.

        Raises:
            UserError: not every text can be encoded; the vectors so far are in the store.
        """
        rows = [self.encode(texts, store) for texts in views]
        self.widths = self.widths * len(views) if len(self.encoders) > 1 else ()
        return side_by_side(rows)

    def made_of(self, *views: Sequence[str]) -> str:
        """Hash the encoders and the texts, in order."""
        return "+".join(encoder.made_of(texts) for texts in views for encoder in self.encoders)


def side_by_side(rows: Sequence[Vectors]) -> Vectors:
    """Join vectors ``[n, D]`` of the same texts or items to vectors of length 1."""
    return rows[0] if len(rows) == 1 else normalised(np.concatenate(rows, axis=1))
