"""Export a two-tower model: item keys and user queries as vectors for a nearest-neighbour index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import track
from lecdsr.core.errors import UserError
from lecdsr.core.files import table_writer, write_json, write_table
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.batch import UserHistories
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
    """Schema of the exported users: one row per user, or one per user and domain if queries differ between domains.

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


def rerank_schemas(width: int) -> tuple[pa.Schema, pa.Schema]:
    """Schemas of what a rerank term compares: one row per item, and one per user, domain and phrase of the profile.

    A phrase's vector contains its weight, so the term is the largest product of the item and a phrase, or 0.
    """
    vector = ("vector", pa.list_(pa.float32(), width))
    items = pa.schema([("item", pa.int32()), vector])
    return items, pa.schema([("user", pa.int32()), ("domain", pa.string()), ("position", pa.int8()), vector])


@torch.no_grad()
def export(recommender: PairRecommender, facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``items.parquet``, ``users.parquet`` and, once both are complete, ``facts.json``.

    For a model with a rerank term also ``rerank-items.parquet`` and ``rerank-users.parquet``.

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
    info, trained = recommender.info, recommender.trained
    reading = (trained.history_length, trained.domains, recommender.device)
    histories = UserHistories(recommender.interactions, info, *reading)
    with table_writer(folder / "users.parquet", users_schema(width)) as write:
        for rows in _queries(recommender, histories):
            write(rows)
    reranks = _write_rerank(recommender, histories, folder)
    found = {
        "score": "query · key + bias" + (" + max(0, largest item · phrase)" if reranks else ""),
        "rerank_term": reranks,
        "width": width,
        "items": {"x": info.n_x, "y": info.n_y},
        "users": info.n_users,
        "history_length": trained.history_length,
        "queries": "one a user and domain" if _by_domain(recommender) else "one a user",
        "biased": bool(bias.any()),
    }
    write_json(folder / "facts.json", {**facts, **found})
    return {**facts, **found}


def _queries(recommender: PairRecommender, histories: UserHistories) -> Iterator[pa.Table]:
    """Yield the rows of ``users.parquet``, one batch of users at a time."""
    owner = recommender.interactions["user"].to_numpy()
    item = recommender.interactions["item"].to_numpy()
    readings = list(enumerate(DOMAINS)) if _by_domain(recommender) else [(0, "both")]
    query = recommender.network.query_encoder()
    for batch in _batches(recommender, "queries"):
        owned = [np.unique(item[slice(*np.searchsorted(owner, [user, user + 1]))]) for user in batch]
        parts = [
            _rows(recommender, query(histories.read(batch, code, batch)), batch, owned, key) for code, key in readings
        ]
        yield pa.concat_tables(parts).take(np.arange(len(parts) * len(batch)).reshape(len(parts), -1).T.ravel())


def _by_domain(recommender: PairRecommender) -> bool:
    """Whether a user has a query for each domain."""
    return bool(recommender.trained.domains == "own" or recommender.network.queries_by_domain)


def _batches(recommender: PairRecommender, label: str) -> Iterator[IntArray]:
    users = np.arange(recommender.info.n_users)
    yield from track(np.array_split(users, max(1, -(-len(users) // BATCH))), label)


def _write_rerank(recommender: PairRecommender, histories: UserHistories, folder: Path) -> bool:
    """Write the vectors of the rerank term, and return whether there is one."""
    found = recommender.network.rerank_vectors()
    for name in ("rerank-items", "rerank-users"):
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    if found is None:
        return False
    texts, phrases = found
    items, users = rerank_schemas(texts.shape[1])
    rows = pa.table({"item": recommender.items["item"], "vector": _vectors(texts)})
    write_table(folder / "rerank-items.parquet", rows.cast(items), items)
    with table_writer(folder / "rerank-users.parquet", users) as write:
        for batch in _batches(recommender, "phrases"):
            for code, key in enumerate(DOMAINS):
                write(_phrase_rows(phrases(histories.read(batch, code, batch)), batch, key).cast(users))
    return True


def _phrase_rows(phrases: torch.Tensor, users: IntArray, key: str) -> pa.Table:
    """Rows of the phrases ``[B, K, D]`` of users that are there."""
    known = phrases.any(dim=2)  # [B, K]
    user, position = (index.cpu().numpy() for index in known.nonzero(as_tuple=True))
    columns = {"user": users[user], "domain": [key] * len(user), "position": position + 1}
    return pa.table({**columns, "vector": _vectors(phrases[known])})


def _rows(
    recommender: PairRecommender, queries: torch.Tensor, users: IntArray, owned: list[IntArray], key: str
) -> pa.Table:
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
