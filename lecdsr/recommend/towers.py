"""A two-tower model as vectors in files: keys of items and queries of users, for an index of nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.base.arrays import IntArray
from lecdsr.base.console import track
from lecdsr.base.errors import UserError
from lecdsr.base.files import table_writer, write_json, write_table
from lecdsr.base.schemas import DOMAINS, WINDOWS
from lecdsr.ranking.histories import Gatherer, from_tables
from lecdsr.recommend.parts import has_towers
from lecdsr.recommend.shop import Shop

BATCH = 512


def items_schema(width: int) -> pa.Schema:
    """One row per item, sorted by ``item``; ``domain`` is x or y."""
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
    """One row per user, sorted by ``user``; two for a model that reads each domain's history alone.

    ``domain``: items that the query is for, x, y or both. ``owned``: items of the user, sorted.
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
def export(shop: Shop, facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``items.parquet``, ``users.parquet`` and, when both are whole, ``facts.json``.

    Args:
        shop: the pair and its model.
        facts: what is said of them, beside what is found here.
        folder: made if it is not there.

    Returns:
        The facts as written.

    Raises:
        UserError: the model has no two towers, a vector is not finite, or ``folder`` is a file.
    """
    if not has_towers(shop.network):
        raise UserError(
            "this model has no two towers: its scores are no products of a query and a key, and no index can hold them",
            do="choose another by --model, for example lecdsr or sasrec",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError("the folder to write is a file", where=str(folder), do="name another by --out")
    (folder / "facts.json").unlink(missing_ok=True)
    keys, bias = shop.network.keys()
    width = keys.shape[1]
    table = {
        "item": shop.items["item"],
        "domain": pa.array(np.array(DOMAINS)[shop.items["domain"].to_numpy()]),
        "asin": shop.items["asin"],
        "bias": _finite(bias),
        "vector": _vectors(keys),
    }
    write_table(folder / "items.parquet", pa.table(table), items_schema(width))
    with table_writer(folder / "users.parquet", users_schema(width)) as write:
        for rows in _queries(shop):
            write(rows)
    catalogue = shop.catalogue
    found = {
        "score": "query · key + bias",
        "width": width,
        "items": {"x": catalogue.n_x, "y": catalogue.n_y},
        "users": catalogue.n_users,
        "history_length": shop.trained.history_length,
        "queries": "one a user" if shop.trained.domains == "both" else "one a user and domain",
        "biased": bool(bias.any()),
    }
    write_json(folder / "facts.json", {**facts, **found})
    return {**facts, **found}


def _queries(shop: Shop) -> Iterator[pa.Table]:
    """Rows of ``users.parquet``, a batch of users at a time."""
    owner = shop.interactions["user"].to_numpy()
    domain = shop.interactions["domain"].to_numpy()
    own = shop.trained.domains == "own"
    readings = [(key, domain == code) for code, key in enumerate(DOMAINS)] if own else [("both", domain >= 0)]
    gathered = [(key, _gatherer(shop, rows), owner[rows]) for key, rows in readings]
    item = shop.interactions["item"].to_numpy()
    users = np.arange(shop.catalogue.n_users)
    for batch in track(np.array_split(users, max(1, -(-len(users) // BATCH))), "queries"):
        owned = [np.unique(item[slice(*np.searchsorted(owner, [user, user + 1]))]) for user in batch]
        parts = [_rows(shop, batch, owned, *reading) for reading in gathered]
        yield pa.concat_tables(parts).take(np.arange(len(parts) * len(batch)).reshape(len(parts), -1).T.ravel())


def _gatherer(shop: Shop, rows: Any) -> Gatherer:
    sequences = from_tables(shop.interactions.filter(pa.array(rows)), WINDOWS.empty_table())
    length, catalogue = shop.trained.history_length, shop.catalogue
    return Gatherer(sequences, length, catalogue.n_x, catalogue.padding, torch.device("cpu"))


def _rows(
    shop: Shop, users: IntArray, owned: list[IntArray], key: str, gatherer: Gatherer, owner: IntArray
) -> pa.Table:
    start, end = np.searchsorted(owner, users, "left"), np.searchsorted(owner, users, "right")
    queries = shop.network.queries(gatherer.histories(users, start, end))  # [B, d]
    columns = {
        "user": users,
        "reviewer": shop.users["reviewer"].take(users),
        "domain": [key] * len(users),
        "owned": pa.array(owned, pa.list_(pa.int32())),
        "vector": _vectors(queries),
    }
    return pa.table(columns).cast(users_schema(queries.shape[1]))


def _vectors(rows: torch.Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_finite(rows.reshape(-1)), rows.shape[1])


def _finite(values: torch.Tensor) -> pa.Array:
    if not bool(torch.isfinite(values).all()):
        raise UserError("the model gives NaN or infinity in a vector", do="lower its learning rate and train it again")
    return pa.array(values.float().numpy())
