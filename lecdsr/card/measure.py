"""Every figure of the card, as one nested mapping: what card.json holds and card.md words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from lecdsr.card.calendar import months, ratings
from lecdsr.card.items import popularity, texts
from lecdsr.card.tables import open_tables
from lecdsr.card.targets import held_out, interactions_by_split, training_targets
from lecdsr.card.users import lengths, repeats, users
from lecdsr.config.pair import Pair
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS


def measure(pair: Pair, artefacts: Artefacts, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the tables of a pair.

    Args:
        pair: names the domains, the release and the source.
        artefacts: where the tables lie.
        facts: what the stage ``sequences`` wrote down; only it saw the raw files and the filters.

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
            "lengths": lengths(db),
            "items": popularity(db),
            "months": months(db),
            "repeat_share": repeats(db),
            "ratings": ratings(db),
            "texts": texts(db),
            "interactions_by_split": interactions_by_split(db),
            "training_targets": training_targets(artefacts),
            "held_out": held_out(db),
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
    found = users(db)
    both = facts.get("users_of_both", found["both"])
    everyone = sum(found.values())
    alone = (found["only_x"] + found["only_y"]) / everyone if everyone else None
    return {**found, "both": both, "one_domain_share": facts.get("one_domain_share", alone)}
