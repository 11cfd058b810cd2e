"""Text vectors of a caller's items and users: given, or encoded as in the stage ``embed``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.api.frames import TEXTS
from lecdsr.core.schemas import ANSWERS, PROFILES
from lecdsr.data.load import PairTables
from lecdsr.embed.base import Vectors, to_table
from lecdsr.embed.providers import encoder_of
from lecdsr.embed.settings import Settings
from lecdsr.embed.store import VectorStore, store_path
from lecdsr.embed.texts import ProfileTexts, item_texts, profile_texts

SETTINGS: dict[str, Any] = {
    "provider": "sentence-transformers",
    "precision": "float32",
    "width": None,
    "item_text": [*TEXTS],
    "max_characters": 1000,
    "batch_size": 32,
}
#: Value of ``made_of`` in the metadata of tables of vectors.
MADE_OF = "frames"


class Texts(NamedTuple):
    """Text inputs of a dataset: an encoder, vectors, and profiles.

    Args:
        encoder: name or folder of a sentence encoder; ``None`` encodes nothing.
        item_vectors: ``[rows of the caller's items, D]`` vectors instead of encoded texts.
        profiles: table with columns ``user``, ``as_of`` and ``text``.
        domains: names of the domains, which structured profiles name.
    """

    encoder: str | None
    item_vectors: Vectors | None
    profiles: pa.Table | None
    domains: tuple[str, str] = ("x", "y")


def add_vectors(tables: PairTables, items: pa.Table | None, texts: Texts, folder: Path) -> PairTables:
    """Add vectors of items and users to the tables, where there are texts or vectors for them.

    Args:
        tables: tables of the pair, without vectors.
        items: table from ``frames.read_items``.
        texts: encoder, vectors and profiles.
        folder: temporary folder for vectors that are not kept.

    Raises:
        UserError: the encoder cannot be loaded.
    """
    has_texts = items is not None and any(column in items.column_names for column in TEXTS)
    answers = _answers(texts.profiles, tables.users)
    item_rows, phrase_rows = None, None
    if texts.item_vectors is not None and items is not None:
        item_rows = _placed(texts.item_vectors, items, tables.items)
    if texts.encoder is not None:
        settings = Settings.model_validate({**SETTINGS, "encoder": texts.encoder})
        encoder = encoder_of(settings, os.environ)
        with _store(folder) as store:
            if item_rows is None and has_texts:
                item_rows = encoder.encode_views(item_texts(tables.items, answers, settings), store)
            if len(answers):
                profiles = profile_texts(answers, texts.domains, settings)
                phrase_rows = encoder.encode(profiles.texts, store)
    if phrase_rows is None and item_rows is not None:
        # No user has a profile, as the stage writes it.
        profiles, phrase_rows = ProfileTexts(PROFILES.empty_table(), []), item_rows[:0]
    return tables._replace(
        item_vectors=None if item_rows is None else to_table(item_rows, MADE_OF),
        profiles=None if phrase_rows is None else profiles.table,
        phrase_vectors=None if phrase_rows is None else to_table(phrase_rows, MADE_OF),
    )


@contextmanager
def _store(folder: Path) -> Iterator[VectorStore]:
    """Open the store that an environment variable names, else one in ``folder``."""
    kept = os.environ.get("LECDSR_VECTOR_STORE")
    with VectorStore(store_path() if kept else folder / "vectors.sqlite") as store:
        yield store


def _answers(profiles: pa.Table | None, users: pa.Table) -> pa.Table:
    """Format profiles like answers of the stage ``ask``; profiles of users removed by filters are dropped."""
    if profiles is None:
        return ANSWERS.empty_table()
    place = pc.index_in(profiles["user"], value_set=users["reviewer"].combine_chunks())
    kept = pc.is_valid(place)
    place, as_of, text = (column.filter(kept) for column in (place, profiles["as_of"], profiles["text"]))
    nothing = pa.nulls(len(place), pa.string())
    kind = pa.array(["user"] * len(place), pa.string())
    columns = {"kind": kind, "id": place, "as_of": as_of, "key": nothing, "text": text, "reason": nothing}
    return pa.table(columns).cast(ANSWERS)


def _placed(vectors: Vectors, given: pa.Table, items: pa.Table) -> Vectors:
    """Put the caller's vectors in the order of the items, ``[N, D]``, with zeros for an item without a row."""
    codes = given["domain"].to_pylist() if "domain" in given.column_names else [None] * len(given)
    names = zip(codes, given["item"].to_pylist(), strict=True)
    rows = dict(zip(names, given["row"].to_pylist(), strict=True))
    placed = np.zeros((len(items), vectors.shape[1]), np.float32)
    for place, (code, name) in enumerate(zip(items["domain"].to_pylist(), items["asin"].to_pylist(), strict=True)):
        row = rows.get((code, name), rows.get((None, name)))
        if row is not None:
            placed[place] = vectors[row]
    return placed
