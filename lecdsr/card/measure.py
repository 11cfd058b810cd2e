"""Measure all figures of the data card, as the nested mapping that is written to card.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.card import statistics
from lecdsr.config.pair import Pair
from lecdsr.core.database import connect
from lecdsr.core.files import broken_parquet, require, wrong_columns
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS, INTERACTIONS, ITEMS, USERS, WINDOWS


def measure(pair: Pair, artefacts: Artefacts, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Measure all figures of the data card from the tables of a pair.

    Args:
        pair: names the domains, the release and the source.
        artefacts: paths of the tables.
        facts: metrics of the stage ``sequences``, the only stage that reads the raw files and applies the filters.

    Raises:
        UserError: a table is missing, broken, or has other columns.
    """
    with open_tables(artefacts) as db:
        counts = _counts(db)
        return {
            "pair": _pair(pair),
            "counts": {**counts, "first_day": facts.get("first_day"), "last_day": facts.get("last_day")},
            "filters": [{"filter": name, **left} for name, left in _filters(facts).items()],
            "users": _users(db, facts),
            "lengths": statistics.lengths(db),
            "items": statistics.popularity(db),
            "months": statistics.months(db),
            "repeat_share": statistics.repeats(db),
            "ratings": statistics.ratings(db),
            "texts": statistics.texts(db),
            "interactions_by_split": statistics.interactions_by_split(db),
            "training_targets": statistics.training_targets(artefacts),
            "held_out": statistics.held_out(db),
            **{name: facts.get(name) for name in ("valid_tied_share", "test_tied_share")},
            "training_later_than_test_share": facts.get("training_later_than_test_share"),
            "bad_lines": dict(facts.get("bad_lines", {})),
            "repeated_metadata_lines": facts.get("repeated_metadata_lines"),
        }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "name": pair.name,
        "domains": dict(zip(DOMAINS, pair.domains, strict=True)),
        "release": pair.release,
        "source": list(pair.source),
        "synthetic": pair.synthetic,
    }


def _counts(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    queries = {
        "users": "users",
        **{f"items_{name}": f"items WHERE domain = {code}" for code, name in enumerate(DOMAINS)},
        **{f"interactions_{name}": f"interactions WHERE domain = {code}" for code, name in enumerate(DOMAINS)},
    }
    rows = {name: db.sql(f"SELECT count(*) FROM {query}").fetchall() for name, query in queries.items()}
    return {name: int(number) for name, ((number,),) in rows.items()}


def _filters(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    after = facts.get("after_filter", {})
    return {name: left for name, left in after.items() if isinstance(left, Mapping)}


def _users(db: duckdb.DuckDBPyConnection, facts: Mapping[str, Any]) -> dict[str, Any]:
    found = statistics.users(db)
    both = facts.get("users_of_both", found["both"])
    everyone = sum(found.values())
    alone = (found["only_x"] + found["only_y"]) / everyone if everyone else None
    return {**found, "both": both, "one_domain_share": facts.get("one_domain_share", alone)}


@contextmanager
def open_tables(artefacts: Artefacts) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to views of ``items``, ``users``, ``interactions`` and ``windows`` over their Parquet files.

    Interactions have another column ``position``, their row number, which the windows refer to. Tables are never loaded
    whole; what does not fit into memory is spilled to a temporary folder next to the tables.

    Raises:
        UserError: a table is missing, broken, or has other columns; or memory or disk are too small.
    """
    with connect(artefacts.root / ".spill") as db:
        _view(db, "items", artefacts.items, ITEMS)
        _view(db, "users", artefacts.users, USERS)
        _view(db, "windows", artefacts.windows, WINDOWS)
        _view(db, "interactions", artefacts.interactions, INTERACTIONS, ", file_row_number AS position")
        yield db


def _view(db: duckdb.DuckDBPyConnection, name: str, path: Path, schema: pa.Schema, extra: str = "") -> None:
    try:
        columns = pq.read_schema(require(path)).names
    except (pa.ArrowException, OSError) as error:
        raise broken_parquet(path, error) from error
    if columns != schema.names:
        raise wrong_columns(path, columns, schema.names)
    names = ", ".join(f'"{column}"' for column in columns)
    file = path.as_posix().replace("'", "''")
    db.execute(f"CREATE VIEW {name} AS SELECT {names}{extra} FROM read_parquet('{file}', file_row_number=true)")
