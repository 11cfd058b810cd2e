"""Base class of all encoders, which encodes only texts whose vectors are not stored yet."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.core.console import progress_bar
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import WIDTHS, vectors
from lecdsr.embed.store import VectorStore

Vectors = NDArray[np.float32]
#: Key of `CachedEncoder.made_of` in the metadata of a table of vectors.
MADE_OF = b"lecdsr.made_of"


class CachedEncoder(ABC):
    """Base class of encoders; vectors have length 1 and are stored as soon as they are computed.

    Attributes:
        encoded: number of texts encoded by this object.
        spent: US dollars spent by this object, as far as prices are known.
        full_width: width of the stored vectors, before truncation; known once there is a vector.
    """

    encoded = 0
    spent = 0.0
    full_width: int | None = None

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of components of a vector."""

    @abstractmethod
    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        """Return the key under which each text's vector is stored."""

    @abstractmethod
    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        """Encode texts, given by ascending length; yield them with their vectors as these are ready, in any order."""

    def made_of(self, texts: Iterable[str]) -> str:
        """Hash the encoder and the texts, in order.

        The hash identifies vectors without their bytes, whose last bits differ between processors.
        """
        texts = list(texts)
        keys = self.keys(dict.fromkeys(texts))
        return hashlib.sha256("\n".join(keys[text] if text else "" for text in texts).encode()).hexdigest()

    def finish(self, rows: Vectors) -> Vectors:
        """Postprocess vectors read from the store."""
        return rows

    def encode(self, texts: Sequence[str], store: VectorStore) -> Vectors:
        """Return the vectors of texts, ``[len(texts), width]``; an empty text has a vector of zeros.

        Raises:
            UserError: not every text can be encoded; the vectors so far are in the store.
        """
        keys = self.keys(dict.fromkeys(text for text in texts if text))
        found = store.get(keys.values())
        missing = sorted((text for text, key in keys.items() if key not in found), key=lambda t: (len(t), t))
        if found:
            self.full_width = len(next(iter(found.values())))
        with progress_bar() as bar:
            task = bar.add_task("encoding", total=len(missing), note="")
            for chunk, encoded in self.chunks(missing) if missing else ():
                chunk_keys = [keys[text] for text in chunk]
                store.put(chunk_keys, encoded)
                found.update(zip(chunk_keys, encoded, strict=True))
                self.encoded += len(chunk)
                bar.update(task, advance=len(chunk), note=f"{self.spent:.4f} USD" if self.spent else "")
        width = len(next(iter(found.values()))) if found else self.width
        rows = np.zeros((len(texts), width), np.float32)
        for place, text in enumerate(texts):
            if text:
                rows[place] = found[keys[text]]
        return self.finish(rows)


def normalised(rows: Vectors) -> Vectors:
    """Scale rows to length 1; rows of zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    normal: Vectors = (rows / np.maximum(lengths, np.float32(1e-12))).astype(np.float32, copy=False)
    return normal


def truncate(rows: Vectors, width: int | None) -> Vectors:
    """Keep the first ``width`` components and normalise again; None keeps all."""
    return rows if width is None else normalised(rows[:, :width])


def to_table(rows: Vectors, made_of: str, widths: Sequence[int] = ()) -> pa.Table:
    """Convert vectors to a table with one row per id.

    Args:
        rows: ``[n, D]``.
        made_of: hash of encoder and texts, for the table's metadata.
        widths: width of each encoder, if several are joined.
    """
    metadata = {MADE_OF: made_of} | ({WIDTHS: ",".join(map(str, widths))} if len(widths) > 1 else {})
    schema = vectors(rows.shape[1]).with_metadata(metadata)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.table([pa.array(np.arange(len(rows)), pa.int32()), pa.array(rows.any(axis=1)), column], schema=schema)


def too_narrow(full: int, cut: int) -> UserError:
    """Build the error for a width above that of the encoder."""
    return UserError(
        f"the vectors of the encoder have width {full}, so they cannot be cut to {cut}",
        where="embed.width",
        do=f"set it to at most {full}, or to null to keep the whole vectors",
        code="too-narrow",
    )
