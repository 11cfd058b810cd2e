"""Load the output of `lecdsr export` into a nearest-neighbour index, and compare its top k with the exact one.

    lecdsr export --pair demo --model tandem --out data/demo/export
    python examples/ann.py data/demo/export

Needs usearch (pip install 'lecdsr[ann]'). The score is query · key + bias. The bias becomes one more dimension of the
key, where every query is 1. A last dimension, where every query is 0, makes all keys equally long: the largest inner
product is then the largest cosine, which such an index finds best (Bachrach et al., RecSys 2014).
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


def with_bias(keys: Floats, bias: Floats) -> Floats:
    """Append the bias as a dimension, ``[N, d]`` and ``[N]`` -> ``[N, d + 1]``."""
    return np.hstack([keys, bias[:, None]])


def as_cosines(keys: Floats) -> Floats:
    """Append a dimension that gives all keys length 1, ``[N, d]`` -> ``[N, d + 1]``."""
    squares = (keys.astype(np.float64) ** 2).sum(axis=1)
    longest = max(float(squares.max()), 1e-12)
    rest = np.sqrt(np.maximum(longest - squares, 0))
    return np.hstack([keys, rest[:, None]]).astype(np.float32) / np.float32(longest**0.5)


def build(keys: Floats, effort: int) -> Any:
    """Build an index of ``keys [N, d + 1]`` by row; a search visits at least ``effort`` of them."""
    rows = as_cosines(keys)
    index = Index(
        ndim=rows.shape[1], metric="cos", dtype="f32", connectivity=32, expansion_add=256, expansion_search=effort
    )
    index.add(np.arange(len(rows)), rows, threads=1)
    return index


def best(keys: Floats, query: Floats, places: Ints, owned: Ints, k: int) -> Ints:
    """Return the k rows of ``places`` with the largest product that are not owned; ties go to the lower row."""
    places = np.sort(places[~np.isin(places, owned)])
    return places[np.argsort(-(keys[places] @ query), kind="stable")[:k]]


def compare(items: pa.Table, users: pa.Table, domain: str, k: int, effort: int) -> tuple[int, int]:
    """Count the users whose top k of a domain the index finds exactly, and all users.

    ``users`` are rows of users.parquet whose query is for this domain.
    """
    inside = np.asarray(items["domain"].to_numpy(zero_copy_only=False) == domain)
    ids = items["item"].to_numpy()[inside].astype(np.int64)
    keys = with_bias(vectors(items)[inside], items["bias"].to_numpy()[inside])
    index, everything = build(keys, effort), np.arange(len(ids))
    right = 0
    for query, mine in zip(vectors(users), users["owned"].to_pylist(), strict=True):
        owned = np.flatnonzero(np.isin(ids, mine))
        full = np.append(query, np.float32(1))  # [d + 1], the bias counts once
        wanted = min(k + len(owned) + SPARE, len(ids))
        found = index.search(np.append(full, np.float32(0)), wanted, threads=1).keys.astype(np.int64)
        exact = best(keys, full, everything, owned, k)
        right += bool(np.array_equal(best(keys, full, found, owned, k), exact))
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
    items, users = (pq.read_table(arguments.folder / f"{name}.parquet") for name in ("items", "users"))
    same = True
    for domain in ("x", "y"):
        rows = np.flatnonzero(np.isin(users["domain"].to_numpy(zero_copy_only=False), [domain, "both"]))
        rows = rows[np.linspace(0, len(rows) - 1, min(arguments.users, len(rows))).astype(int)]
        right, asked = compare(items, users.take(rows), domain, arguments.k, arguments.effort)
        same = same and right == asked
        print(f"domain {domain}: the same top {arguments.k} for {right:,} of {asked:,} users")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
