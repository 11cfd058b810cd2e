"""Export a two-tower model: item keys and user queries as vectors for a nearest-neighbour index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import track
from lecdsr.core.errors import UserError
from lecdsr.core.files import table_writer, write_json, write_table
from lecdsr.core.schemas import DOMAINS, WINDOWS
from lecdsr.data.batch import Gatherer, Histories
from lecdsr.data.sequences import from_tables
from lecdsr.recommend.recommender import PairRecommender

BATCH = 512


def items_schema(width: int) -> pa.Schema:
    """Schema of the exported items: one row per item, sorted by ``item``; ``domain`` is x or y."""
    return pa.schema(
        [
            ("item", pa.int32()),
            ("domain", pa.string()),
            ("asin", pa.string()),
            ("bias", pa.float32()),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )


def users_schema(width: int) -> pa.Schema:
    """Schema of the exported users: one row per user, or one per user and domain if the model reads one domain only.

    Rows are sorted by ``user``. ``domain``: domain of the items that the query is for, x, y or both. ``owned``: items
    of the user, sorted.
    """
    return pa.schema(
        [
            ("user", pa.int32()),
            ("reviewer", pa.string()),
            ("domain", pa.string()),
            ("owned", pa.list_(pa.int32())),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )


@torch.no_grad()
def export(recommender: PairRecommender, facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``items.parquet``, ``users.parquet`` and, once both are complete, ``facts.json``.

    Args:
        recommender: the model and its pair.
        facts: additional entries of ``facts.json``.
        folder: output folder, created if missing.

    Returns:
        The content of ``facts.json``.

    Raises:
        UserError: this is not a two-tower model, a vector is not finite, or ``folder`` is a file.
    """
    if not recommender.network.is_two_tower:
        raise UserError(
            "this is not a two-tower model: its scores are not query · key + bias, so it has no vectors to export",
            where="--model",
            do="name a two-tower model",
            code="no-two-towers",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(
            "the output folder is a file",
            where=str(folder),
            do="choose another folder with --out",
            code="file-in-the-way",
        )
    (folder / "facts.json").unlink(missing_ok=True)
    keys, bias = recommender.network.keys()
    width = keys.shape[1]
    table = {
        "item": recommender.items["item"],
        "domain": pa.array(np.array(DOMAINS)[recommender.items["domain"].to_numpy()]),
        "asin": recommender.items["asin"],
        "bias": _finite(bias),
        "vector": _vectors(keys),
    }
    write_table(folder / "items.parquet", pa.table(table), items_schema(width))
    with table_writer(folder / "users.parquet", users_schema(width)) as write:
        for rows in _queries(recommender):
            write(rows)
    info = recommender.info
    found = {
        "score": "query · key + bias",
        "width": width,
        "items": {"x": info.n_x, "y": info.n_y},
        "users": info.n_users,
        "history_length": recommender.trained.history_length,
        "queries": "one a user" if recommender.trained.domains == "both" else "one a user and domain",
        "biased": bool(bias.any()),
    }
    write_json(folder / "facts.json", {**facts, **found})
    return {**facts, **found}


def _queries(recommender: PairRecommender) -> Iterator[pa.Table]:
    """Yield the rows of ``users.parquet``, one batch of users at a time."""
    owner = recommender.interactions["user"].to_numpy()
    domain = recommender.interactions["domain"].to_numpy()
    own = recommender.trained.domains == "own"
    readings = [(key, domain == code) for code, key in enumerate(DOMAINS)] if own else [("both", domain >= 0)]
    gathered = [(key, _gatherer(recommender, rows), owner[rows]) for key, rows in readings]
    item = recommender.interactions["item"].to_numpy()
    users, query = np.arange(recommender.info.n_users), recommender.network.query_encoder()
    for batch in track(np.array_split(users, max(1, -(-len(users) // BATCH))), "queries"):
        owned = [np.unique(item[slice(*np.searchsorted(owner, [user, user + 1]))]) for user in batch]
        parts = [_rows(recommender, query, batch, owned, *reading) for reading in gathered]
        yield pa.concat_tables(parts).take(np.arange(len(parts) * len(batch)).reshape(len(parts), -1).T.ravel())


def _gatherer(recommender: PairRecommender, rows: Any) -> Gatherer:
    sequences = from_tables(recommender.interactions.filter(pa.array(rows)), WINDOWS.empty_table())
    length, info = recommender.trained.history_length, recommender.info
    return Gatherer(sequences, length, info.n_x, info.padding, recommender.device)


def _rows(
    recommender: PairRecommender,
    query: Callable[[Histories], torch.Tensor],
    users: IntArray,
    owned: list[IntArray],
    key: str,
    gatherer: Gatherer,
    owner: IntArray,
) -> pa.Table:
    start, end = np.searchsorted(owner, users, "left"), np.searchsorted(owner, users, "right")
    queries = query(gatherer.histories(users, start, end))  # [B, d]
    columns = {
        "user": users,
        "reviewer": recommender.users["reviewer"].take(users),
        "domain": [key] * len(users),
        "owned": pa.array(owned, pa.list_(pa.int32())),
        "vector": _vectors(queries),
    }
    return pa.table(columns).cast(users_schema(queries.shape[1]))


def _vectors(rows: torch.Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_finite(rows.reshape(-1)), rows.shape[1])


def _finite(values: torch.Tensor) -> pa.Array:
    if not bool(torch.isfinite(values).all()):
        raise UserError(
            "the model returns a vector with NaN or infinity",
            do="lower its learning_rate and run `dvc repro`",
            code="nan-score",
        )
    return pa.array(values.float().cpu().numpy())
