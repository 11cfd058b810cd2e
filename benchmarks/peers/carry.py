"""Pack what a comparison reads of a pair into small files, to take it to another machine, and unpack it there.

Vectors travel as float16, which moves a cosine by less than 0.001; the negatives of the sampled ranking are drawn again
from their seed, and checked. Phrases that no list of a profile names are left out, so that whole profiles, which only
the model `lecdsr` reads, are not there. Every part is a file of at most --part-mb.

    python -m benchmarks.peers.carry pack --pair food_kitchen --folder .carry
    python -m benchmarks.peers.carry unpack --pair food_kitchen --folder .carry
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings
from lecdsr.config.load import load_block
from lecdsr.core.console import say
from lecdsr.core.files import read_table, write_table
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS, ITEMS, PROFILES, USERS, WIDTHS, WINDOWS, vectors
from lecdsr.data.load import vector_rows

SEQUENCES = {"items": ITEMS, "users": USERS, "interactions": INTERACTIONS, "windows": WINDOWS}


def pack(pair: str, folder: Path, part_mb: int) -> None:
    """Write the parts.

    Raises:
        UserError: a table of the pair is missing.
    """
    a = Artefacts(pair)
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in SEQUENCES.items():
        write_table(folder / f"{name}.parquet", read_table(a.sequences / f"{name}.parquet", schema), schema)
    profiles, used = named_phrases(read_table(a.profiles, PROFILES))
    write_table(folder / "profiles.parquet", profiles, PROFILES)
    widths = {}
    for name, path, rows in (("item", a.item_vectors, None), ("phrase", a.phrase_vectors, used)):
        table = read_table(path, vectors(1))
        whole = vector_rows(table, len(table), str(path)).numpy()[:-1]
        chosen = whole if rows is None else whole[rows]
        _write_parts(folder, name, chosen.astype(np.float16), part_mb)
        widths[name] = (table.schema.metadata or {}).get(WIDTHS, b"").decode()
    drawn = _hash(read_table(a.candidates, CANDIDATES))
    (folder / "facts.json").write_text(json.dumps({"widths": widths, "candidates": drawn}))
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{folder}: {size / 1e6:.0f} MB, {len(used):,} phrases")


def unpack(pair: str, folder: Path) -> None:
    """Write the tables of the pair from the parts.

    Raises:
        SystemExit: other negatives are drawn here.
    """
    a = Artefacts(pair)
    facts = json.loads((folder / "facts.json").read_text())
    for name, schema in SEQUENCES.items():
        write_table(a.sequences / f"{name}.parquet", read_table(folder / f"{name}.parquet", schema), schema)
    write_table(a.profiles, read_table(folder / "profiles.parquet", PROFILES), PROFILES)
    for name, path in (("item", a.item_vectors), ("phrase", a.phrase_vectors)):
        parts = [np.load(part) for part in sorted(folder.glob(f"{name}-*.npy"))]
        _write_vectors(path, np.concatenate(parts).astype(np.float32), facts["widths"][name])
    tables = (read_table(a.sequences / f"{name}.parquet", SEQUENCES[name]) for name in ("interactions", "windows"))
    items = read_table(a.items, ITEMS)
    drawn = draw_candidates(*tables, items, load_block("candidates", Settings, pair))
    if _hash(drawn) != facts["candidates"]:
        raise SystemExit("other negatives are drawn here than where the pair was packed")
    write_table(a.candidates, drawn, CANDIDATES)


def named_phrases(profiles: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """Number the phrases that the lists of the profiles name from 0 on, and return them with the new table.

    A whole profile, which may not be among them, becomes the first phrase.
    """
    lists = {name: profiles[name].combine_chunks() for name in ("next_x", "next_y")}
    flat = {name: column.values.to_numpy().astype(np.int64) for name, column in lists.items()}
    used = np.unique(np.concatenate([np.zeros(1, np.int64), *flat.values()]))
    changed = {
        name: pa.ListArray.from_arrays(column.offsets, pa.array(np.searchsorted(used, flat[name]), pa.int32()))
        for name, column in lists.items()
    }
    whole = pa.array(np.zeros(len(profiles)), pa.int32())
    columns = {"user": profiles["user"], "as_of": profiles["as_of"], "whole": whole, **changed}
    return pa.table(columns).cast(PROFILES), used


def _write_parts(folder: Path, name: str, rows: NDArray[np.float16], part_mb: int) -> None:
    each = max(1, int(part_mb * 1e6) // (2 * rows.shape[1]))
    for number, first in enumerate(range(0, len(rows), each)):
        np.save(folder / f"{name}-{number:02d}.npy", rows[first : first + each])


def _write_vectors(path: Path, rows: NDArray[np.float32], widths: str) -> None:
    schema = vectors(rows.shape[1])
    columns: dict[str, Any] = {
        "id": pa.array(np.arange(len(rows)), pa.int32()),
        "known": pa.array(rows.any(axis=1)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1]),
    }
    schema = schema.with_metadata({WIDTHS: widths.encode()}) if widths else schema
    write_table(path, pa.table(columns).cast(schema), schema)


def _hash(candidates: pa.Table) -> str:
    """SHA-256 of the negatives, in their order."""
    column = candidates["negatives"].combine_chunks()
    return hashlib.sha256(np.ascontiguousarray(column.flatten().to_numpy()).data).hexdigest()


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["pack", "unpack"])
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--part-mb", type=int, default=20)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    enter_repository()
    if arguments.action == "pack":
        pack(arguments.pair, folder, arguments.part_mb)
    else:
        unpack(arguments.pair, folder)


if __name__ == "__main__":
    main()
