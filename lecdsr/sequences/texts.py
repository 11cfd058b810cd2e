"""Read the texts of the remaining items from the metadata files, in the order of the items."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.config.pair import Pair
from lecdsr.core.arrays import IntArray
from lecdsr.core.console import say
from lecdsr.core.schemas import ITEMS
from lecdsr.readers.custom import custom_records
from lecdsr.readers.layouts import find, layout_of
from lecdsr.readers.metadata import ItemTexts, MetadataReader, records_of_lines
from lecdsr.readers.rejected import RejectedLines
from lecdsr.sequences.engine import BATCH

# Items inserted into DuckDB at once.
ITEMS_AT_ONCE = 20_000
NAMES = pa.schema([ITEMS.field(name) for name in ("item", "domain", "asin")])
TEXTS = pa.schema([ITEMS.field(name) for name in ("item", *ItemTexts._fields)])


def read_texts(
    db: duckdb.DuckDBPyConnection, pair: Pair, names: Iterator[pa.Table], raw: Path, text_length: int
) -> tuple[list[RejectedLines], int]:
    """Create the tables ``names(item, domain, asin)`` and ``texts(item, title, …)``, one row per item with metadata.

    Args:
        db: database in which the tables are created.
        pair: names the domains and the layout of the files.
        names: all items, in order.
        raw: folder of the raw files.
        text_length: characters kept of a title, and of a description.

    Returns:
        Rejected lines of each domain's file, and the number of lines that repeat an ASIN.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    layout = layout_of(pair)
    append(db, "names", NAMES, names)
    append(db, "texts", TEXTS, iter(()))
    if not layout.metadata:
        return [], 0
    rejected_lines, repeated = [], 0
    for code, domain in enumerate(pair.domains):
        path = find(raw, layout.metadata, domain)
        say(f"reading {path.name}")
        rejected = RejectedLines(path)
        custom = layout.custom
        records = custom_records(db, path, custom, rejected) if custom else records_of_lines(path, layout, rejected)
        reading = MetadataReader(_wanted(db, code), text_length, rejected)
        append(db, "texts", TEXTS, _tables(reading.items(records)))
        rejected_lines.append(rejected)
        repeated += reading.repeated
    return rejected_lines, repeated


def items_in_order(db: duckdb.DuckDBPyConnection, train_count: IntArray) -> Iterator[pa.Table]:
    """Yield the rows of the table ``ITEMS`` in chunks; an item without metadata has empty texts."""
    query = db.sql(
        """SELECT item, domain, asin, coalesce(title, '') AS title, coalesce(brand, '') AS brand,
            coalesce(categories, []) AS categories, coalesce(description, '') AS description
        FROM names LEFT JOIN texts USING (item) ORDER BY item"""
    )
    first = 0
    for batch in query.to_arrow_reader(BATCH // 16):
        counts = pa.array(train_count[first : first + len(batch)].astype(np.int32))
        first += len(batch)
        yield pa.Table.from_batches([batch]).append_column("train_count", counts)


def count_untitled(items: pa.Table) -> int:
    """Count the items without a title."""
    return int(pc.sum(pc.equal(items["title"], "")).as_py() or 0)


def append(db: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema, parts: Iterator[pa.Table]) -> None:
    """Append Arrow tables to a database table, which is created if it does not exist."""
    db.register("part", schema.empty_table())
    db.execute(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM part")
    for part in parts:
        db.register("part", part.cast(schema))
        db.execute(f"INSERT INTO {table} SELECT * FROM part")
    db.unregister("part")


def _wanted(db: duckdb.DuckDBPyConnection, domain: int) -> dict[str, int]:
    """Return the item ids of one domain by ASIN."""
    table = db.sql(f"SELECT asin, item FROM names WHERE domain = {domain}").to_arrow_table()
    return dict(zip(table["asin"].to_pylist(), table["item"].to_pylist(), strict=True))


def _tables(items: Iterator[tuple[int, ItemTexts]]) -> Iterator[pa.Table]:
    while part := list(islice(items, ITEMS_AT_ONCE)):
        texts = zip(*(item for _, item in part), strict=True)
        columns = [[number for number, _ in part], *texts]
        yield pa.table([pa.array(column, field.type) for column, field in zip(columns, TEXTS, strict=True)], TEXTS)
