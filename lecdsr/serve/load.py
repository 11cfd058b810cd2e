"""Load an export into memory, ready to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from lecdsr.core.arrays import IntArray
from lecdsr.core.device import has_bfloat16
from lecdsr.core.errors import UserError
from lecdsr.core.files import broken_parquet, read_table
from lecdsr.core.schemas import DOMAINS, INTERACTIONS, ITEMS, PROFILES, USERS, WINDOWS
from lecdsr.core.schemas import vectors as vectors_schema
from lecdsr.data.batch import Histories
from lecdsr.data.everything import info_for
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import PairTables, info_of
from lecdsr.models.saved import load, read_config
from lecdsr.recommend.batch import check_domains
from lecdsr.recommend.export import ALWAYS, PROFILE_TEXTS, items_schema, rerank_schemas, users_schema
from lecdsr.recommend.manifest import MANIFEST, read_manifest
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.serve.catalogue import Catalogue

#: Users whose exported queries are compared with the model's, and by how much these may differ.
_COMPARED, _TOLERANCE = 4, 0.01
_AGAIN = "write the export again with `lecdsr export`"


class Lists(NamedTuple):
    """Lists of different lengths, one after the other: list i is ``values[bounds[i]:bounds[i + 1]]``."""

    bounds: IntArray
    values: IntArray

    def of(self, number: int) -> IntArray:
        """Return one list."""
        return self.values[self.bounds[number] : self.bounds[number + 1]]


@dataclass(frozen=True)
class Rerank:
    """What the rerank term compares.

    Args:
        texts: ``[N, D]`` vectors of items.
        phrases: ``[M, D]`` weighted phrases of all users, for each domain.
        bounds: ``[U+1]`` first phrase of each user, for each domain.
        encode: gives the phrases ``[B, K, D]`` of histories.
    """

    texts: Tensor
    phrases: tuple[Tensor, Tensor]
    bounds: tuple[IntArray, IntArray]
    encode: Callable[[Histories], Tensor]

    def of(self, user: int, domain: int) -> Tensor:
        """``[K, D]`` phrases of a user for a domain."""
        bounds = self.bounds[domain]
        return self.phrases[domain][bounds[user] : bounds[user + 1]]


#: Error of a product in bfloat16, relative to the lengths of its vectors; see :class:`Coarse`.
MARGIN = 2.0**-7


class Coarse(NamedTuple):
    """Keys and texts in bfloat16, whose products take a third of the time where the processor multiplies bfloat16.

    A number loses at most 2⁻⁹ of itself when it is rounded. So does a product of two vectors that is rounded, which
    therefore is off by at most 3 · 2⁻⁹ of the product of their lengths, and a little for the order of the sum;
    ``MARGIN`` is 4 · 2⁻⁹. Items whose coarse score lies within two margins of the k-th best may be among the k
    best, all others may not.

    Args:
        keys: ``[N, d]``.
        texts: ``[N, D]`` vectors of items in the rerank term, if there is one.
        longest: greatest length of a key, and of a text.
    """

    keys: Tensor
    texts: Tensor | None
    longest: tuple[float, float]


@dataclass(frozen=True)
class LoadedExport:
    """An export in memory.

    Args:
        facts: content of the manifest.
        recommender: the model with its pair, for anonymous users, explanations and similar items.
        catalogue: the items with their titles.
        keys: ``[N, d]`` keys of all items; those of a domain are contiguous.
        bias: ``[N]``.
        queries: ``[U, d]`` query of every user, for the items of X and of Y.
        owned: items of every user, sorted.
        items: items of every user in time order.
        times: times of these, in seconds since 1970-01-01 UTC.
        rerank: what the rerank term compares; ``None`` if there is no such term.
        coarse: keys for a first look; ``None`` where it would not be faster.
    """

    facts: dict[str, Any]
    recommender: PairRecommender
    catalogue: Catalogue
    keys: Tensor
    bias: Tensor
    queries: tuple[Tensor, Tensor]
    owned: Lists
    items: Lists
    times: Lists
    rerank: Rerank | None
    coarse: Coarse | None

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of the domains x and y."""
        return {key: str(self.facts.get("domains", {}).get(key, key)) for key in DOMAINS}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {reviewer: user for user, reviewer in enumerate(self.recommender.users["reviewer"].to_pylist())}

    @property
    def encode(self) -> Callable[[Histories], Tensor]:
        """The query tower, ``[B, d]``: the model's own. An export with a part query.onnx can run that instead."""
        return self.recommender.query_encoder

    @property
    def by_domain(self) -> bool:
        """Whether a history has a query for each domain."""
        return bool(self.recommender.trained.domains == "own" or self.recommender.network.queries_by_domain)

    def user(self, reviewer: str) -> int:
        """Return the number of a user by their original id.

        Raises:
            UserError: there is no such user.
        """
        number = self._numbers.get(reviewer)
        if number is None:
            raise UserError(
                f"there is no user {reviewer!r} in this pair",
                where="user",
                do="give the id as in the raw data; filters of `sequences` may have removed the user. A history needs "
                "no user id",
                code="unknown-user",
            )
        return number


@torch.no_grad()
def load_export(folder: Path, coarse: bool | None = None) -> LoadedExport:
    """Load an export after checking that it is complete and that its parts belong together.

    Args:
        folder: of the export.
        coarse: look at coarse scores first; ``None`` does where the processor multiplies bfloat16.

    Raises:
        UserError: it is incomplete, of another format, or damaged, or its model gives other vectors.
    """
    facts = read_manifest(folder, ALWAYS)
    recommender = _recommender(folder, facts)
    check_domains(recommender.info)
    items, users = (_vector_table(folder / f"{name}.parquet") for name in ("items", "users"))
    width = items.schema.field("vector").type.list_size
    _check(items.schema == items_schema(width) and users.schema == users_schema(width), folder / "items.parquet")
    _check(items["asin"].equals(recommender.items["asin"]), folder / "items.parquet")
    domain = users["domain"].to_pylist()
    step = 2 if domain[:1] == ["x"] else 1
    n = recommender.info.n_users
    _check(domain == (["x", "y"] if step == 2 else ["both"]) * n, folder / "users.parquet")
    _check((users["user"].to_numpy() == np.repeat(np.arange(n), step)).all(), folder / "users.parquet")
    keys, queries, histories = _rows(items), _rows(users), _histories(recommender)
    rerank = _rerank(folder, recommender) if "rerank-items.parquet" in facts["parts"] else None
    export = LoadedExport(
        facts,
        recommender,
        Catalogue(recommender.items),
        keys=keys,
        bias=torch.from_numpy(items["bias"].to_numpy().copy()),
        queries=(queries[0::step], queries[step - 1 :: step]),
        owned=_lists(users["owned"].combine_chunks().take(pa.array(np.arange(0, len(users), step)))),
        items=histories[0],
        times=histories[1],
        rerank=rerank,
        coarse=_coarse(keys, rerank) if _is_faster(coarse) else None,
    )
    _check_vectors(export, folder)
    return export


def _is_faster(coarse: bool | None) -> bool:
    return has_bfloat16(torch.device("cpu")) if coarse is None else coarse


def _coarse(keys: Tensor, rerank: Rerank | None) -> Coarse:
    texts = None if rerank is None else rerank.texts
    longest = [0.0 if rows is None else float(rows.norm(dim=1).max()) for rows in (keys, texts)]
    return Coarse(keys.bfloat16(), None if texts is None else texts.bfloat16(), (longest[0], longest[1]))


def _check_vectors(export: LoadedExport, folder: Path) -> None:
    """Compare some exported queries with those that the model computes here.

    They differ if the model's code has changed, and anonymous users would then get other items than those they should.

    Raises:
        UserError: they differ by more than another processor or library explains.
    """
    recommender, count = export.recommender, export.recommender.info.n_users
    for user in np.unique(np.linspace(0, count - 1, min(count, _COMPARED)).astype(int)):
        for domain, queries in enumerate(export.queries):
            history = (export.items.of(user), export.times.of(user))
            found, wanted = recommender.query(int(user), *history, domain), queries[user]
            if float((found - wanted).norm()) > _TOLERANCE * float(wanted.norm()):
                what = "the model of the export computes other vectors here than those that were exported"
                raise UserError(what, where=str(folder), do=_AGAIN, code="other-vectors")


def _recommender(folder: Path, facts: dict[str, Any]) -> PairRecommender:
    """Load the model and the tables of its pair."""
    pair, model = folder / "pair", folder / "model"
    config, trained = read_config(model)
    items, users = read_table(pair / "items.parquet", ITEMS), read_table(pair / "users.parquet", USERS)
    interactions = read_table(pair / "interactions.parquet", INTERACTIONS)
    item_vectors, phrases, profiles = (
        read_table(pair / f"{name}.parquet", schema) if f"pair/{name}.parquet" in facts["parts"] else None
        for name, schema in (
            ("item-vectors", vectors_schema(1)),
            ("phrase-vectors", vectors_schema(1)),
            ("profiles", PROFILES),
        )
    )
    tables = PairTables(items, users, interactions, WINDOWS.empty_table(), item_vectors, profiles, phrases)
    info = replace(info_of(tables), text_widths=tuple(facts.get("text_widths", ())))
    info = info_for(config, info, interactions)
    texts = read_table(pair / "profile-texts.parquet", PROFILE_TEXTS)
    return PairRecommender(
        items=items,
        users=users,
        interactions=interactions,
        profiles=dict(zip(texts["user"].to_pylist(), texts["text"].to_pylist(), strict=True)),
        info=info,
        network=_network(model, info),
        trained=trained,
        config=config,
    )


def _network(folder: Path, info: DatasetInfo) -> Any:
    network = load(folder, info)
    if not network.is_two_tower:
        raise UserError(
            "the model of the export is not two-tower", where=str(folder), do="export another", code="no-two-towers"
        )
    return network


def _rerank(folder: Path, recommender: PairRecommender) -> Rerank | None:
    found = recommender.network.rerank_vectors()
    items, users = (_vector_table(folder / f"rerank-{name}.parquet") for name in ("items", "users"))
    schemas = rerank_schemas(items.schema.field("vector").type.list_size)
    _check(found is not None and (items.schema, users.schema) == schemas, folder / "rerank-items.parquet")
    assert found is not None
    domain, user = users["domain"].to_numpy(zero_copy_only=False), users["user"].to_numpy()
    phrases, ends = _rows(users), np.arange(recommender.info.n_users + 1)
    chosen = [np.flatnonzero(domain == key) for key in DOMAINS]
    order = [rows[np.argsort(user[rows], kind="stable")] for rows in chosen]
    of_x, of_y = (phrases[torch.from_numpy(rows)] for rows in order)
    in_x, in_y = (np.searchsorted(user[rows], ends) for rows in order)
    return Rerank(_rows(items), (of_x, of_y), (in_x, in_y), found[1])


def _vector_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise broken_parquet(path, error, _AGAIN) from error
    vector = table.schema.names and table.schema.field(table.schema.names[-1])
    _check(vector and vector.name == "vector" and pa.types.is_fixed_size_list(vector.type), path)
    return table


def _rows(table: pa.Table) -> Tensor:
    """``[rows, d]`` vectors of a table, in memory of their own."""
    column = table["vector"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(values.reshape(len(table), column.type.list_size).copy())


def _lists(column: pa.ListArray) -> Lists:
    sizes = np.diff(column.offsets.to_numpy())
    return Lists(np.append(0, np.cumsum(sizes)), column.flatten().to_numpy().astype(np.int64))


def _histories(recommender: PairRecommender) -> tuple[Lists, Lists]:
    """Items and times of every user, in time order."""
    user, item, time = (recommender.interactions[name].to_numpy().astype(np.int64) for name in ("user", "item", "time"))
    bounds = np.searchsorted(user, np.arange(recommender.info.n_users + 1))
    return Lists(bounds, item), Lists(bounds, time)


def _check(fits: object, path: Path) -> None:
    if not fits:
        what = "parts of the export do not fit together"
        raise UserError(what, where=str(path), do=_AGAIN, code="other-parts")


def describe(export: LoadedExport, folder: Path) -> dict[str, object]:
    """Return what a summary shows of an export."""
    info = export.recommender.info
    return {
        "export": f"{folder}/{MANIFEST}",
        "pair": export.facts.get("pair"),
        "model": export.facts.get("model"),
        "items": {export.names["x"]: info.n_x, export.names["y"]: info.n_y},
        "users": info.n_users,
        "width": export.keys.shape[1],
    }
