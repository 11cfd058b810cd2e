"""Load the output of `lecdsr export` into a nearest-neighbour index, and compare its top k with the exact one.

    lecdsr export --pair demo --model tandem --out data/demo/export
    python examples/ann.py data/demo/export

Needs usearch (pip install 'lecdsr[ann]'). The score is query · key + bias. The bias becomes one more dimension of the
key, where every query is 1. A last dimension, where every query is 0, makes all keys equally long: the largest inner
product is then the largest cosine, which such an index finds best (Bachrach et al., RecSys 2014).

A model that reads profiles adds max(0, largest item · phrase). Keys are then followed by the item's text vector, and a
user has one query for each phrase, followed by that phrase, and one followed by zeros. The score is the largest product
of these queries, so each of the k best items is among the k best of one of them.
Exits with 1 if a list differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from usearch.index import Index

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Candidates taken from the index beyond k and the user's owned items; exact products order them.
SPARE = 20


def vectors(table: pa.Table) -> Floats:
    """Convert the column of vectors to an array, ``[rows, d]``."""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten().to_numpy()).reshape(len(table), -1)


def keys_of(folder: Path) -> Floats:
    """Read the keys, followed by the bias and, for a model with a rerank term, by the text: ``[N, d + 1 (+ D)]``."""
    items = pq.read_table(folder / "items.parquet")
    parts = [vectors(items), items["bias"].to_numpy()[:, None]]
    if (folder / "rerank-items.parquet").exists():
        parts.append(vectors(pq.read_table(folder / "rerank-items.parquet")))
    return np.hstack(parts)


def queries_of(query: Floats, phrases: Floats) -> Floats:
    """Queries ``[1 + K, d + 1 (+ D)]`` of a user with the query ``[d]`` and ``[K, D]`` phrases; D may be 0."""
    without = np.zeros((1, phrases.shape[1]), np.float32)
    own = np.append(query, np.float32(1))  # the bias counts once
    return np.hstack([np.tile(own, (len(phrases) + 1, 1)), np.vstack([without, phrases])])


def phrases_of(folder: Path, domain: str) -> tuple[dict[int, Floats], int]:
    """Read the phrases ``[K, D]`` of each user for a domain, and D; 0 for a model without a rerank term."""
    path = folder / "rerank-users.parquet"
    if not path.exists():
        return {}, 0
    table = pq.read_table(path, filters=[("domain", "=", domain)])
    width, users = table.schema.field("vector").type.list_size, table["user"].to_numpy()  # sorted by user
    found, starts = np.unique(users, return_index=True)
    return dict(zip(found.tolist(), np.split(vectors(table), starts[1:]), strict=True)), width


def as_cosines(keys: Floats) -> Floats:
    """Append a dimension that gives all keys length 1, ``[N, d]`` -> ``[N, d + 1]``."""
    squares = (keys.astype(np.float64) ** 2).sum(axis=1)
    longest = max(float(squares.max()), 1e-12)
    rest = np.sqrt(np.maximum(longest - squares, 0))
    return np.hstack([keys, rest[:, None]]).astype(np.float32) / np.float32(longest**0.5)


def build(keys: Floats, effort: int) -> Any:
    """Build an index of ``keys [N, d]`` by row; a search visits at least ``effort`` of them."""
    rows = as_cosines(keys)
    index = Index(
        ndim=rows.shape[1], metric="cos", dtype="f32", connectivity=32, expansion_add=256, expansion_search=effort
    )
    index.add(np.arange(len(rows)), rows, threads=1)
    return index


def best(keys: Floats, queries: Floats, places: Ints, owned: Ints, k: int) -> Ints:
    """Return the k rows of ``places`` with the largest product that are not owned; ties go to the lower row."""
    places = np.unique(places[~np.isin(places, owned)])
    return places[np.argsort(-(keys[places] @ queries.T).max(axis=1), kind="stable")[:k]]


def search(index: Any, queries: Floats, count: int) -> Ints:
    """Return the rows that the index finds for any of the queries, ``count`` for each."""
    found: Ints = index.search(np.hstack([queries, np.zeros((len(queries), 1), np.float32)]), count, threads=1).keys
    return found.astype(np.int64).ravel()


def compare(folder: Path, domain: str, sample: int, k: int, effort: int) -> tuple[int, int]:
    """Count the users whose top k of a domain the index finds exactly, and all users of an evenly spaced sample."""
    items, users = (pq.read_table(folder / f"{name}.parquet") for name in ("items", "users"))
    inside = np.asarray(items["domain"].to_numpy(zero_copy_only=False) == domain)
    ids = items["item"].to_numpy()[inside]
    keys = keys_of(folder)[inside]
    index, everything = build(keys, effort), np.arange(len(ids))
    rows = np.flatnonzero(np.isin(users["domain"].to_numpy(zero_copy_only=False), [domain, "both"]))
    users = users.take(rows[np.linspace(0, len(rows) - 1, min(sample, len(rows))).astype(int)])
    phrases, width = phrases_of(folder, domain)
    right = 0
    for user, query, mine in zip(users["user"].to_pylist(), vectors(users), users["owned"].to_pylist(), strict=True):
        owned = np.flatnonzero(np.isin(ids, mine))
        queries = queries_of(query, phrases.get(user, np.zeros((0, width), np.float32)))
        found = search(index, queries, min(k + len(owned) + SPARE, len(ids)))
        exact = best(keys, queries, everything, owned, k)
        right += bool(np.array_equal(best(keys, queries, found, owned, k), exact))
    return right, len(users)


def main() -> int:
    """Build an index for each domain and print for how many users it finds the exact list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that lecdsr export wrote")
    parser.add_argument("-k", type=int, default=10, help="length of a list (default 10)")
    parser.add_argument("--users", type=int, default=200, help="number of users, evenly spaced (default 200)")
    parser.add_argument(
        "--effort",
        type=int,
        default=1024,
        help="keys visited per search: more is more accurate and slower (default 1024)",
    )
    arguments = parser.parse_args()
    if not (arguments.folder / "facts.json").exists():  # written last
        sys.exit(f"error: {arguments.folder} holds no facts.json\n  do: write it with lecdsr export")
    same = True
    for domain in ("x", "y"):
        right, asked = compare(arguments.folder, domain, arguments.users, arguments.k, arguments.effort)
        same = same and right == asked
        print(f"domain {domain}: the same top {arguments.k} for {right:,} of {asked:,} users")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
