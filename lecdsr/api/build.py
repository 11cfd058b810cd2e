"""Build the tables of a pair from a caller's tables, with the code of the stages sequences, candidates and embed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.api.frames import TEXTS
from lecdsr.api.vectors import Texts, add_vectors
from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings as CandidateSettings
from lecdsr.config.load import check_values
from lecdsr.config.pair import Custom, CustomInteractions, CustomItems, Pair
from lecdsr.core.console import silent
from lecdsr.core.files import read_table, write_table
from lecdsr.core.schemas import DOMAINS, INTERACTIONS, ITEMS, USERS, WINDOWS
from lecdsr.data.load import PairTables
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings as SequenceSettings

#: Defaults of this interface that differ from those of the pipeline: nothing is filtered, because frames are small.
SEQUENCES: dict[str, Any] = {
    "max_bad_share": 0.0,
    "overlap": "prefer",
    "min_item": 1,
    "min_user_domain": 1,
    "min_user_total": 2,
    "max_length": None,
    "min_history": 1,
}


class Built(NamedTuple):
    """Tables of a pair, their negatives, and the statistics of the build."""

    tables: PairTables
    candidates: pa.Table
    facts: dict[str, Any]


def sequence_settings(values: dict[str, Any]) -> SequenceSettings:
    """Check settings of the stage ``sequences``, with the defaults of this interface.

    Raises:
        UserError: a key is unknown or ill-typed.
    """
    return check_values(SequenceSettings, {**SEQUENCES, **values}, "Dataset.from_frames")


def build_tables(
    interactions: pa.Table, items: pa.Table | None, texts: Texts, settings: SequenceSettings, negatives: int
) -> Built:
    """Filter, number and split the interactions, draw negatives, and encode texts.

    Args:
        interactions: table from ``frames.read_interactions``.
        items: table from ``frames.read_items``.
        texts: vectors, encoder and profiles.
        settings: settings of the stage ``sequences``.
        negatives: maximum number of negatives per target in the sampled ranking.

    Raises:
        UserError: a filter removed every user, a split has no targets, or the encoder cannot be loaded.
    """
    drawn = check_values(CandidateSettings, {"negatives": negatives}, "Dataset.from_frames")
    with tempfile.TemporaryDirectory(prefix="lecdsr-") as name:
        folder = Path(name)
        tables, facts = _sequences(folder, interactions, items, settings)
        candidates = draw_candidates(tables.interactions, tables.windows, tables.items, drawn)
        tables = add_vectors(tables, items, texts, folder)
    return Built(tables, candidates.combine_chunks(), facts)


def _sequences(
    folder: Path, interactions: pa.Table, items: pa.Table | None, settings: SequenceSettings
) -> tuple[PairTables, dict[str, Any]]:
    raw, out = folder / "raw", folder / "sequences"
    for code, domain in enumerate(DOMAINS):
        own = interactions.filter(pc.equal(interactions["domain"], code)).drop_columns(["domain"])
        write_table(raw / f"interactions_{domain}.parquet", own, own.schema)
        if items is not None:
            texts = _items_of(items, own["item"], code)
            write_table(raw / f"items_{domain}.parquet", texts, texts.schema)
    with silent():  # suppress output that names temporary files, which mean nothing to the caller
        facts = build(_layout(interactions, items), settings, raw, out, folder / "rejected")
    read = {
        kind: read_table(out / f"{kind}.parquet", schema)
        for kind, schema in (("items", ITEMS), ("users", USERS), ("interactions", INTERACTIONS), ("windows", WINDOWS))
    }
    return PairTables(**read), facts


def _items_of(items: pa.Table, interacted: pa.ChunkedArray, code: int) -> pa.Table:
    """Select the items of one domain: by the column ``domain``, or else the items that occur in its interactions."""
    if "domain" in items.column_names:
        return items.filter(pc.equal(items["domain"], code)).drop_columns(["domain", "row"])
    return items.filter(pc.is_in(items["item"], value_set=interacted.unique())).drop_columns(["row"])


def _layout(interactions: pa.Table, items: pa.Table | None) -> Pair:
    """Describe the written files as a custom catalogue."""
    rating = "rating" if "rating" in interactions.column_names else None
    columns = CustomInteractions(
        file="interactions_{domain}.parquet", user="user", item="item", time="time", time_unit="seconds", rating=rating
    )
    texts = None
    if items is not None:
        there = {column: column for column in TEXTS if column in items.column_names}
        texts = CustomItems(file="items_{domain}.parquet", item="item", **there)
    custom = Custom(interactions=columns, items=texts)
    return Pair(name="frames", domains=(DOMAINS[0], DOMAINS[1]), release="custom", source=("frames",), custom=custom)
