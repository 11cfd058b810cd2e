"""Build the sequences of a pair (read, filter, assign ids, split, write) with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.config.pair import Pair
from lecdsr.core.console import say
from lecdsr.core.database import connect
from lecdsr.core.errors import UserError
from lecdsr.core.files import table_writer
from lecdsr.core.schemas import DOMAINS, INTERACTIONS, ITEMS, SECONDS_PER_DAY, SPLITS, USERS, WINDOWS
from lecdsr.readers.layouts import find, layout_of
from lecdsr.readers.ratings import create_ratings, read_ratings
from lecdsr.readers.rejected import RejectedLines
from lecdsr.sequences.engine import Engine, choose_engine
from lecdsr.sequences.filter import ORDER, FilterCounts, apply_filters
from lecdsr.sequences.settings import Expect, Settings
from lecdsr.sequences.split import Cuts, day_cuts, split_interactions
from lecdsr.sequences.statistics import SequenceStatistics
from lecdsr.sequences.texts import count_untitled, items_in_order, read_texts


def build(pair: Pair, settings: Settings, raw: Path, folder: Path, rejected: Path) -> dict[str, Any]:
    """Read the raw files of a pair and write its tables to ``folder``.

    Memory is bounded (:mod:`lecdsr.core.database`): what does not fit is spilled to a folder inside ``folder``, and
    the tables are written a chunk of users or items at a time.

    Args:
        pair: names the domains, the release and a custom catalogue's columns.
        settings: block ``sequences``.
        raw: folder of the raw files.
        folder: output folder of ``items``, ``users``, ``interactions`` and ``windows``, as Parquet files.
        rejected: output folder of malformed lines.

    Returns:
        The metrics of the stage.

    Raises:
        UserError: a file is missing or malformed, a filter removes every user, a split has no targets,
            or the counts differ from the expected ones.
    """
    spill = folder / ".spill"
    with connect(spill) as db:
        rejected_lines = _read_ratings(db, pair, settings, raw, rejected)
        engine = choose_engine(settings.engine, db, spill)
        say("filtering")
        counts = apply_filters(engine, settings)
        assign_ids(engine)
        statistics = _write_sequences(engine, settings, folder)
        found, repeated = read_texts(db, pair, _item_names(engine), raw, settings.text_length)
        for each in found:
            each.check(rejected, settings.max_bad_share)
        untitled = _write_items(db, statistics, folder)
    facts = {**statistics.facts(), "items_without_title": untitled, "after_filter": counts}
    _require_targets(facts, settings)
    if settings.expect is not None:
        check_expected(facts, counts, settings.expect)
    metadata = {f"metadata_{name}": each for name, each in zip(DOMAINS, found, strict=False)}
    facts["bad_lines"] = {name: each.bad for name, each in {**rejected_lines, **metadata}.items()}
    facts["repeated_metadata_lines"] = repeated
    return facts


def _read_ratings(
    db: duckdb.DuckDBPyConnection, pair: Pair, settings: Settings, raw: Path, folder: Path
) -> dict[str, RejectedLines]:
    layout = layout_of(pair)
    create_ratings(db, "ratings")
    rejected_lines = {}
    for code, (name, domain) in enumerate(zip(DOMAINS, pair.domains, strict=True)):
        path = find(raw, layout.ratings, domain)
        say(f"reading {path.name}")
        rejected = read_ratings(db, path, layout, "ratings", code)
        rejected.check(folder, settings.max_bad_share)
        rejected_lines[f"ratings_{name}"] = rejected
    return rejected_lines


def _write_sequences(engine: Engine, settings: Settings, folder: Path) -> SequenceStatistics:
    """Write users, interactions and windows, and drop the engine's table of interactions."""
    n_x, n_items = engine.row("SELECT count(*) FILTER (WHERE domain = 0), count(*) FROM items")
    statistics = SequenceStatistics(n_x, n_items)
    with table_writer(folder / "users.parquet", USERS) as write:
        for table in user_rows(engine):
            write(table)
    cuts = _cuts(engine, settings)
    windows: list[list[pa.Table]] = [[] for _ in SPLITS]
    with table_writer(folder / "interactions.parquet", INTERACTIONS) as write:
        for table in _whole_users(ordered_interactions(engine)):
            write(_split(table, settings, cuts, statistics, windows))
    with table_writer(folder / "windows.parquet", WINDOWS) as write:
        for part in windows:
            for table in part:
                write(table)
    engine.drop("interactions")
    return statistics


def _whole_users(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Regroup the rows so that no user is split between two tables."""
    rest: pa.Table | None = None
    for table in tables:
        table = table if rest is None else pa.concat_tables([rest, table])
        user = table["user"].to_numpy()
        end = int(np.searchsorted(user, user[-1]))
        if end:
            yield table.slice(0, end)
        rest = table.slice(end)
    if rest is not None:
        yield rest


def _split(
    table: pa.Table, settings: Settings, cuts: Cuts, statistics: SequenceStatistics, windows: list[list[pa.Table]]
) -> pa.Table:
    """Split the interactions of some users, count them, and add their windows to the lists of each split."""
    user, item, time, domain = (table[name].to_numpy().astype(np.int64) for name in ("user", "item", "time", "domain"))
    place = user - user[0]
    each = np.stack([np.bincount(place, weights=domain == code) for code in range(len(DOMAINS))])
    least = each.min(axis=0)
    needed = settings.min_user_domain if settings.overlap == "prefer" else 0
    evaluated = (least >= needed)[place]
    first = statistics.interactions
    statistics.users += len(np.unique(user))
    part, found = split_interactions(user, time, evaluated, settings, cuts)
    statistics.add(item, time, part, found, int((least > 0).sum()))
    for name in ("start", "first_target", "end"):
        column = found.schema.get_field_index(name)
        found = found.set_column(column, WINDOWS.field(name), pc.add(found[name], first))
    for code, own in enumerate(windows):
        own.append(found.filter(pc.equal(found["split"], code)))
    return table.append_column("split", pa.array(part)).select(INTERACTIONS.names)


def _cuts(engine: Engine, settings: Settings) -> Cuts:
    """Return the start times of validation and test for the temporal split, else zeros."""
    if settings.split != "temporal":
        return 0, 0
    days = f"CAST(floor(time / {SECONDS_PER_DAY}) AS BIGINT)"
    query = f"SELECT {days} AS day, count(*) AS n FROM interactions GROUP BY {days} ORDER BY day"
    table = pa.concat_tables(engine.batches(query))
    return day_cuts(table["day"].to_numpy(), table["n"].to_numpy(), settings.cuts)


def _item_names(engine: Engine) -> Iterator[pa.Table]:
    return engine.batches("SELECT item, domain, asin FROM items ORDER BY item")


def _write_items(db: duckdb.DuckDBPyConnection, statistics: SequenceStatistics, folder: Path) -> int:
    """Write the items; return how many of them have no title."""
    untitled = 0
    with table_writer(folder / "items.parquet", ITEMS) as write:
        for table in items_in_order(db, statistics.train_count):
            untitled += count_untitled(table)
            write(table)
    return untitled


def _require_targets(facts: dict[str, Any], settings: Settings) -> None:
    for name in ("training_targets", "valid_targets", "test_targets"):
        if not sum(value for key, value in facts.items() if key.startswith(name)):
            raise UserError(
                f"the split {settings.split!r} leaves no {name.replace('_', ' ')}",
                where="sequences.split",
                do="choose another split, or lower sequences.min_history, min_window or the other minimum counts",
                code="no-targets",
            )


def check_expected(facts: dict[str, Any], counts: FilterCounts, expect: Expect) -> None:
    """Compare the counts with published ones.

    Raises:
        UserError: a count differs.
    """
    before_total = counts.get("min_user_domain", {}).get("users", facts["users_of_both"])
    found = {**facts, "users_of_both": before_total, "mean_length": round(facts["mean_length"], 2)}
    wrong = [
        f"{key}: expected {value:,}, got {found[key]:,}"
        for key, value in expect.model_dump(exclude_none=True).items()
        if found[key] != value
    ]
    if wrong:
        raise UserError(
            "the counts differ from the published ones: " + "; ".join(wrong),
            where="sequences.expect",
            do="check `source`, `release` and the filters in the pair's file, or set sequences.expect to null",
            code="other-counts",
        )


def assign_ids(engine: Engine) -> None:
    """Create ``users(user, reviewer, n_x, n_y)`` and ``items(item, domain, asin)`` from the remaining interactions.

    Dense ids are assigned to items by domain and ASIN and to users by reviewer, so they do not depend on the order of
    the raw files. ``new_users(user, new)`` and ``new_items(item, new)`` map the previous numbers to the ids.
    """
    for key, more in (
        ("user", "count(*) FILTER (WHERE domain = 0) AS n_x, count(*) FILTER (WHERE domain = 1) AS n_y"),
        ("item", "count(*) AS n"),
    ):
        engine.replace(
            f"new_{key}s",
            f"""SELECT *, CAST(row_number() OVER (ORDER BY {key}) - 1 AS INTEGER) AS new
            FROM (SELECT {key}, {more} FROM interactions GROUP BY {key}) AS kept""",
        )
    engine.replace(
        "users",
        """SELECT new AS user, reviewer, CAST(n_x AS INTEGER) AS n_x, CAST(n_y AS INTEGER) AS n_y
        FROM user_ids JOIN new_users USING (user)""",
    )
    engine.replace("items", "SELECT new AS item, domain, asin FROM item_ids JOIN new_items USING (item)")
    engine.drop("user_ids")
    engine.drop("item_ids")


def user_rows(engine: Engine) -> Iterator[pa.Table]:
    """Yield one row per user, see ``USERS``."""
    return engine.batches("SELECT user, reviewer, n_x, n_y FROM users ORDER BY user")


def ordered_interactions(engine: Engine) -> Iterator[pa.Table]:
    """Yield ``user, item, domain, time, rating``, sorted by user and then by time."""
    order = ", ".join(f"interactions.{column}" for column in ORDER.split(", "))
    return engine.batches(
        f"""SELECT new_users.new AS user, new_items.new AS item, domain, CAST(time AS BIGINT) AS time, rating
        FROM interactions JOIN new_users USING (user) JOIN new_items USING (item)
        ORDER BY new_users.new, {order}"""
    )
