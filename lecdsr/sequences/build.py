"""The whole stage over tables: read, filter, number, split, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from lecdsr.base.console import say
from lecdsr.base.errors import UserError
from lecdsr.base.pair import Pair
from lecdsr.base.schemas import DOMAINS, INTERACTIONS, SECONDS_PER_DAY, TEST, TRAIN, VALID
from lecdsr.raw.aside import Aside
from lecdsr.raw.layouts import find, layout_of
from lecdsr.raw.metadata import Item, read_metadata
from lecdsr.raw.ratings import read_ratings
from lecdsr.sequences.filter import apply_filters, join_domains
from lecdsr.sequences.number import count_by_domain, items_table, number, ordered_interactions, users_table
from lecdsr.sequences.settings import Expect, Settings
from lecdsr.sequences.split import split_interactions


class Tables(NamedTuple):
    """What the stage makes; schemas in ``lecdsr.base.schemas``."""

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    windows: pa.Table
    facts: dict[str, Any]


def build(pair: Pair, settings: Settings, raw: Path, aside_folder: Path) -> Tables:
    """Read the raw files of a pair and make its tables.

    Args:
        pair: names the domains and the release.
        settings: block ``sequences``.
        raw: folder of the raw files.
        aside_folder: where malformed lines are kept.

    Raises:
        UserError: a file is missing or malformed, a filter leaves nobody, a split has no targets,
            or the counts are not the expected ones.
    """
    with duckdb.connect() as db:
        asides = _read_both(db, pair, settings, raw, aside_folder)
        filtered = apply_filters(db, settings)
        number(db)
        table = ordered_interactions(db)
        user, time = (table[name].to_numpy().astype(np.int64) for name in ("user", "time"))
        part, windows = split_interactions(user, time, settings)
        interactions = table.append_column("split", pa.array(part)).select(INTERACTIONS.names).cast(INTERACTIONS)
        texts, repeated = _texts(db, pair, settings, raw, aside_folder, asides)
        items = items_table(db, texts, table["item"].to_numpy()[part == TRAIN])
        users = users_table(db)
    facts = {**describe(items, users, interactions, windows), "after_filter": filtered}
    _require_targets(facts, settings)
    if settings.expect is not None:
        check_expected(facts, settings.expect)
    facts["bad_lines"] = {name: aside.bad for name, aside in asides.items()}
    facts["repeated_metadata_lines"] = repeated
    return Tables(items, users, interactions, windows, facts)


def _read_both(
    db: duckdb.DuckDBPyConnection, pair: Pair, settings: Settings, raw: Path, aside_folder: Path
) -> dict[str, Aside]:
    layout = layout_of(pair)
    asides = {}
    for name, domain in zip(DOMAINS, pair.domains, strict=True):
        path = find(raw, layout.ratings, domain)
        say(f"reading {path.name}")
        aside = read_ratings(db, path, layout, f"ratings_{name}")
        aside.check(aside_folder, settings.max_bad_share)
        asides[f"ratings_{name}"] = aside
    join_domains(db, ("ratings_x", "ratings_y"))
    return asides


def _texts(
    db: duckdb.DuckDBPyConnection,
    pair: Pair,
    settings: Settings,
    raw: Path,
    aside_folder: Path,
    asides: dict[str, Aside],
) -> tuple[tuple[dict[str, Item], dict[str, Item]], int]:
    layout = layout_of(pair)
    found = []
    total_repeated = 0
    for code, (name, domain) in enumerate(zip(DOMAINS, pair.domains, strict=True)):
        path = find(raw, layout.metadata, domain)
        say(f"reading {path.name}")
        db.execute(f"CREATE OR REPLACE TEMP VIEW kept AS SELECT asin FROM item_ids WHERE domain = {code}")
        items, aside, repeated = read_metadata(db, path, layout, "kept", settings.text_length)
        aside.check(aside_folder, settings.max_bad_share)
        asides[f"metadata_{name}"] = aside
        total_repeated += repeated
        found.append(items)
    return (found[0], found[1]), total_repeated


def describe(items: pa.Table, users: pa.Table, interactions: pa.Table, windows: pa.Table) -> dict[str, Any]:
    """Counts and shares of the finished tables, for the metrics."""
    split = windows["split"].to_numpy()
    target = interactions["item"].to_numpy()[windows["end"].to_numpy() - 1]
    domain = items["domain"].to_numpy()
    title = np.array([bool(text) for text in items["title"].to_pylist()])
    facts: dict[str, Any] = {
        "users": len(users),
        **{f"items_{name}": count for name, count in count_by_domain(domain).items()},
        "interactions": len(interactions),
        "mean_length": len(interactions) / len(users),
        "training_targets": _training_targets(windows),
    }
    for code, name in ((VALID, "valid"), (TEST, "test")):
        chosen = split == code
        for key, count in count_by_domain(domain[target[chosen]]).items():
            facts[f"{name}_targets_{key}"] = count
        facts[f"{name}_tied_share"] = (
            float(windows["tied"].to_numpy(zero_copy_only=False)[chosen].mean()) if (chosen.any()) else 0.0
        )
    facts["items_without_title"] = int((~title).sum())
    facts["items_unseen_in_training"] = int((items["train_count"].to_numpy() == 0).sum())
    days = interactions["time"].to_numpy() // SECONDS_PER_DAY
    facts["first_day"], facts["last_day"] = (str(np.datetime64(int(day), "D")) for day in (days.min(), days.max()))
    return facts


def _training_targets(windows: pa.Table) -> int:
    training = windows["split"].to_numpy() == TRAIN
    return int((windows["end"].to_numpy() - windows["first_target"].to_numpy())[training].sum())


def _require_targets(facts: dict[str, Any], settings: Settings) -> None:
    for name in ("training_targets", "valid_targets", "test_targets"):
        if not sum(value for key, value in facts.items() if key.startswith(name)):
            raise UserError(
                f"the split {settings.split!r} leaves no {name.replace('_', ' ')}",
                where="sequences.split",
                do="choose another split, or loosen min_history, min_window or the filters",
            )


def check_expected(facts: dict[str, Any], expect: Expect) -> None:
    """Compare with published counts.

    Raises:
        UserError: a count differs.
    """
    found = {**facts, **facts["after_filter"], "mean_length": round(facts["mean_length"], 2)}
    wrong = [
        f"{key}: expected {value:,}, got {found[key]:,}"
        for key, value in expect.model_dump(exclude_none=True).items()
        if found[key] != value
    ]
    if wrong:
        raise UserError(
            "the counts are not the published ones: " + "; ".join(wrong),
            where="sequences.expect",
            do="check source, release and filters of the pair; set `expect: null` to go on all the same",
        )
