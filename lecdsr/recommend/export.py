"""Export a two-tower model: item keys and user queries as vectors, and all that a service needs besides.

The folder is self-contained: an index of nearest neighbours reads the vectors, and `lecdsr serve` also the model with
the tables of the pair, to answer anonymous users and to explain scores.
"""

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
from lecdsr.core.files import table_writer, write_table
from lecdsr.core.schemas import DOMAINS, INTERACTIONS, ITEMS, PROFILES, USERS
from lecdsr.core.schemas import vectors as vectors_schema
from lecdsr.data.info import DatasetInfo
from lecdsr.data.profiles import Profiles
from lecdsr.models.saved import save
from lecdsr.recommend.batch import UserHistories
from lecdsr.recommend.manifest import MANIFEST, write_manifest
from lecdsr.recommend.onnx import write_graph
from lecdsr.recommend.recommender import PairRecommender

BATCH = 512
#: Text of the latest profile of users who have one; it is shown with their history.
PROFILE_TEXTS = pa.schema([("user", pa.int32()), ("text", pa.string())])
#: Parts of every export; rerank files, text vectors and profiles are there if the model has them.
ALWAYS = (
    *("items.parquet", "users.parquet", "model/config.json", "model/model.safetensors"),
    *("pair/items.parquet", "pair/users.parquet", "pair/interactions.parquet", "pair/profile-texts.parquet"),
)
_RERANK = ("rerank-items.parquet", "rerank-users.parquet")
_OPTIONAL = ("item-vectors.parquet", "phrase-vectors.parquet", "profiles.parquet")


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
def export(recommender: PairRecommender, facts: dict[str, Any], folder: Path, onnx: bool = False) -> dict[str, Any]:
    """Write the vectors, the model, the tables of the pair and, once all are complete, ``facts.json``.

    ``items.parquet`` and ``users.parquet`` hold the vectors, for a model with a rerank term ``rerank-items.parquet``
    and ``rerank-users.parquet`` too. ``model/`` is the model as :func:`lecdsr.models.saved.save` writes it, ``pair/``
    holds the tables that it is loaded with: items with titles but without descriptions, users, interactions, text
    vectors, and the profiles of a model that reads them.

    Args:
        recommender: the model and its pair.
        facts: additional entries of ``facts.json``.
        folder: output folder, created if missing.
        onnx: also write the query tower as a graph, ``query.onnx``.

    Returns:
        The content of ``facts.json``.

    Raises:
        UserError: this is not a two-tower model, a vector is not finite, ``folder`` is a file, or the packages for a
            graph are not installed.
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
    (folder / MANIFEST).unlink(missing_ok=True)
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
        "text_widths": list(info.text_widths),
    }
    parts = [*ALWAYS, *(_RERANK if reranks else ()), *_write_pair(recommender, folder / "pair")]
    save(folder / "model", recommender.network, dict(recommender.config))
    graph = write_graph(recommender, folder, onnx)
    parts += graph["files"] if graph is not None else []
    return write_manifest(folder, {**facts, **found, "onnx": graph}, parts)


def _write_pair(recommender: PairRecommender, folder: Path) -> list[str]:
    """Write the tables with which a model is loaded; return the names of those that not every export has."""
    for name in _OPTIONAL:
        (folder / name).unlink(missing_ok=True)
    items = recommender.items
    column = items.column_names.index("description")
    write_table(folder / "items.parquet", items.set_column(column, "description", pa.array([""] * len(items))), ITEMS)
    write_table(folder / "users.parquet", recommender.users, USERS)
    write_table(folder / "interactions.parquet", recommender.interactions, INTERACTIONS)
    texts = sorted(recommender.profiles.items())
    columns = {"user": [user for user, _ in texts], "text": [text for _, text in texts]}
    write_table(folder / "profile-texts.parquet", pa.table(columns, schema=PROFILE_TEXTS), PROFILE_TEXTS)
    written = _write_texts(recommender.info, folder, recommender.user_input == "profile")
    return [f"pair/{name}" for name in written]


def _write_texts(info: DatasetInfo, folder: Path, reads_profiles: bool) -> list[str]:
    """Write the text vectors of the items and, for a model that reads them, the profiles with their phrases."""
    tables = {}
    if info.item_vectors is not None:
        tables["item-vectors.parquet"] = _text_table(info.item_vectors)
    if info.profiles is not None and reads_profiles:
        tables["phrase-vectors.parquet"] = _text_table(info.profiles.vectors)
        tables["profiles.parquet"] = _profile_table(info.profiles)
    for name, table in tables.items():
        write_table(folder / name, table, table.schema)
    return list(tables)


def _text_table(rows: torch.Tensor) -> pa.Table:
    """Turn ``[V+1, D]`` text vectors, the last of which is zero, into a table of V rows."""
    rows = rows[:-1].cpu()
    columns = {"id": np.arange(len(rows)), "known": rows.any(dim=1).numpy(), "vector": _vectors(rows)}
    return pa.table(columns).cast(vectors_schema(rows.shape[1]))


def _profile_table(profiles: Profiles) -> pa.Table:
    none = len(profiles.vectors) - 1
    lists = [[[row for row in rows if row != none] for rows in profiles.lists[:-1, code].tolist()] for code in (0, 1)]
    columns = {"user": profiles.user, "as_of": profiles.as_of, "whole": profiles.whole[:-1].numpy()}
    return pa.table({**columns, "next_x": lists[0], "next_y": lists[1]}).cast(PROFILES)


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
    for name in _RERANK:
        (folder / name).unlink(missing_ok=True)
    if found is None:
        return False
    texts, phrases = found
    items, users = rerank_schemas(texts.shape[1])
    rows = pa.table({"item": recommender.items["item"], "vector": _vectors(texts)})
    write_table(folder / _RERANK[0], rows.cast(items), items)
    with table_writer(folder / _RERANK[1], users) as write:
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
