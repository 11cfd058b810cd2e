"""Vector store: a SQLite file of vectors, keyed by text and encoder and kept outside the outputs of DVC.

The last bits of a vector depend on its batch, so a stored vector is never recomputed: adding a text leaves all other
vectors bit-identical.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lecdsr.core.paths import store_root

Vectors = NDArray[np.float32]


def store_path() -> Path:
    """Return ``$LECDSR_VECTOR_STORE``, else ``.vector-store`` in the repository."""
    return Path(os.environ.get("LECDSR_VECTOR_STORE") or store_root() / ".vector-store") / "vectors.sqlite"


class VectorStore:
    """Store of vectors by key, as float32 bytes in SQLite; every chunk is committed when it is put."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, timeout=60)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) STRICT")

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.db.close()

    def get(self, keys: Iterable[str]) -> dict[str, Vectors]:
        """Return the vectors of those keys that are stored."""
        wanted = list(keys)
        found: dict[str, Vectors] = {}
        for first in range(0, len(wanted), 500):
            some = wanted[first : first + 500]
            marks = ",".join("?" * len(some))
            for key, blob in self.db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some):
                found[key] = np.frombuffer(blob, np.float32)
        return found

    def put(self, keys: list[str], vectors: Vectors) -> None:
        """Store a chunk; existing vectors stay unchanged."""
        rows = ((key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True))
        with self.db:
            self.db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
