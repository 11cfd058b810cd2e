"""Write the recommendations of many users to one file, so that a killed run goes on where it was.

Finished blocks are kept as small Parquet files outside the outputs of DVC, which deletes those before a stage runs.
Their folder is named by a fingerprint of all that decides the recommendations, so blocks of other inputs are never
mixed in. The file itself is put together from them at the end, one block in memory at a time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import say, track
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_table, table_writer, write_table
from lecdsr.core.paths import checkpoint_folder
from lecdsr.core.schemas import DOMAINS, RECOMMENDATIONS
from lecdsr.recommend.batch import BatchRecommender, Recommendations

#: Part of the fingerprint; a new number leaves the blocks of an earlier layout unused instead of misread.
FORMAT = 1


class Parts:
    """The finished blocks of one run.

    Args:
        pair: name of the pair.
        model: name of the model.
        inputs: whatever decides the recommendations, as JSON values.
    """

    def __init__(self, pair: str, model: str, inputs: Mapping[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, "model": model, **inputs}, sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder = checkpoint_folder(pair) / f"recommend-{model}-{fingerprint}"

    def path(self, number: int) -> Path:
        """File of a block."""
        return self.folder / f"{number:07d}.parquet"

    def finished(self, number: int) -> bool:
        """Whether a block is there, whole and of the right columns."""
        try:
            return bool(pq.read_schema(self.path(number)).equals(RECOMMENDATIONS))
        except (OSError, pa.ArrowException):
            return False

    def write(self, number: int, rows: pa.Table) -> None:
        """Keep a block; a kill at any moment leaves the whole file or none."""
        write_table(self.path(number), rows, RECOMMENDATIONS)

    def read(self, number: int) -> pa.Table:
        """Read a block."""
        return read_table(self.path(number), RECOMMENDATIONS)

    def remove(self) -> None:
        """Delete all blocks, once the file that they make up is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Written(NamedTuple):
    """What a run did: users, those of them whose blocks an earlier run had finished, rows, and seconds of this run."""

    users: int
    resumed: int
    rows: int
    seconds: float

    def facts(self) -> dict[str, object]:
        """For the summary."""
        new = self.users - self.resumed
        rate = {"users per second": round(new / self.seconds, 1)} if new and self.seconds else {}
        resumed = {"users of an interrupted run": self.resumed} if self.resumed else {}
        return {"users": self.users, **resumed, "rows": self.rows, "seconds": round(self.seconds, 1), **rate}


def write_recommendations(
    path: Path, users: IntArray, recommender: Callable[[], BatchRecommender], ids: Ids, parts: Parts, size: int
) -> Written:
    """Recommend to users and write one table, see ``RECOMMENDATIONS``; the same call goes on after a kill.

    Args:
        path: file to write; it appears when it is complete.
        users: ``[U]`` users, in the order of the rows.
        recommender: makes the recommender; not called if all blocks are finished.
        ids: original ids.
        parts: finished blocks; deleted at the end.
        size: users of a block.

    Raises:
        UserError: a score is NaN, or the path is a folder.
    """
    if path.is_dir():
        raise UserError("the output file is a folder", where=str(path), do="name a file that ends with .parquet")
    begin = time.monotonic()
    blocks = [users[first : first + size] for first in range(0, len(users), size)]
    missing = [number for number in range(len(blocks)) if not parts.finished(number)]
    resumed = len(users) - sum(len(blocks[number]) for number in missing)
    if resumed:
        say(f"{resumed:,} of {len(users):,} users are finished in {parts.folder}")
    if missing:
        make = recommender()
        for number in track(missing, "blocks of users"):
            parts.write(number, ids.table(make.recommend(blocks[number], blocks[number]), blocks[number]))
    rows = 0
    with table_writer(path, RECOMMENDATIONS) as write:
        for number in range(len(blocks)):
            block = parts.read(number)
            rows += len(block)
            write(block)
    parts.remove()
    return Written(len(users), resumed, rows, time.monotonic() - begin)


class Ids(NamedTuple):
    """Original ids: ``reviewer`` of every user and ``asin`` of every item."""

    reviewer: pa.ChunkedArray
    asin: pa.ChunkedArray

    def table(self, found: Recommendations, users: IntArray) -> pa.Table:
        """Recommendations of ``users [B]`` as rows of ``RECOMMENDATIONS``."""
        user = users[found.place]
        columns = {
            "user": user,
            "reviewer": self.reviewer.take(pa.array(user)),
            "domain": np.array(DOMAINS)[found.domain],
            "rank": found.rank,
            "item": found.item,
            "asin": self.asin.take(pa.array(found.item)),
            "score": found.score,
        }
        return pa.table(columns).cast(RECOMMENDATIONS)
