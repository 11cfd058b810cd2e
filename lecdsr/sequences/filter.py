"""Filtering in DuckDB: dates, repeats, minimum interactions of users and items, maximum length.

Works on a table ``interactions(reviewer, domain, asin, rating, time, row)``; ``domain`` is 0 for X
and 1 for Y, ``row`` the line of the raw file. Order in time is ``time, domain, row``: within one
day Amazon's files have no order, so the documented rule is X before Y and then the order of lines.
"""

from __future__ import annotations

import datetime

import duckdb

from lecdsr.base.errors import UserError
from lecdsr.base.schemas import SECONDS_PER_DAY
from lecdsr.sequences.settings import Settings

ORDER = "time, domain, row"


def join_domains(db: duckdb.DuckDBPyConnection, tables: tuple[str, str]) -> None:
    """Put the ratings of both domains into the table ``interactions``."""
    parts = [
        f"SELECT reviewer, {domain}::TINYINT AS domain, asin, rating, time, row FROM {table}"
        for domain, table in enumerate(tables)
    ]
    db.execute(f"CREATE OR REPLACE TABLE interactions AS {' UNION ALL '.join(parts)}")
    for table in tables:
        db.execute(f"DROP TABLE {table}")


def apply_filters(db: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, int]:
    """Apply every filter of the settings to ``interactions``.

    Returns:
        Interactions left after each filter, in order, and ``users_of_both`` before the minimum of
        interactions in all (24,972 in the published Toy–Game preparation).

    Raises:
        UserError: nothing is left; the message names the filter.
    """
    counts = {"raw": _rows(db)}

    def step(name: str, advice: str) -> None:
        counts[name] = _rows(db)
        if not counts[name]:
            raise UserError(f"the filter {name!r} leaves nobody", where="sequences", do=advice)

    _keep_dates(db, settings.start_date, settings.end_date)
    step("dates", "set sequences.start_date and sequences.end_date to the time of the data")
    _drop_repeats(db, settings.repeats)
    step("repeats", "check the raw files")
    _semi_join(db, ["reviewer"], "count(DISTINCT domain) = 2")
    step("overlap", "no user has interactions in both domains: check that both are of one release")
    counts["users_of_both"] = 0
    while True:
        before = _rows(db)
        _semi_join(db, ["domain", "asin"], f"count(*) >= {settings.min_item}")
        step("min_item", "lower sequences.min_item")
        enough = " AND ".join(f"count(*) FILTER (domain = {d}) >= {settings.min_user_domain}" for d in (0, 1))
        _semi_join(db, ["reviewer"], enough)
        step("min_user_domain", "lower sequences.min_user_domain")
        counts["users_of_both"] = _users(db)
        _semi_join(db, ["reviewer"], f"count(*) >= {settings.min_user_total}")
        step("min_user_total", "lower sequences.min_user_total")
        if not settings.until_stable or _rows(db) == before:
            break
    if settings.max_length is not None:
        _keep_latest(db, settings.max_length)
        step("max_length", "raise sequences.max_length")
    return counts


def _keep_dates(db: duckdb.DuckDBPyConnection, start: datetime.date | None, end: datetime.date | None) -> None:
    conditions = []
    if start is not None:
        conditions.append(f"time >= {_epoch(start)}")
    if end is not None:
        conditions.append(f"time < {_epoch(end) + SECONDS_PER_DAY}")
    if conditions:
        _replace(db, f"SELECT * FROM interactions WHERE {' AND '.join(conditions)}")


def _epoch(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())


def _drop_repeats(db: duckdb.DuckDBPyConnection, repeats: str) -> None:
    key = "reviewer, domain, asin" if repeats == "first" else "reviewer, domain, asin, time"
    _replace(
        db,
        f"""SELECT * FROM interactions
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY time, row) = 1""",
    )


def _semi_join(db: duckdb.DuckDBPyConnection, key: list[str], having: str) -> None:
    """Keep the interactions whose group by ``key`` satisfies ``having``."""
    columns = ", ".join(key)
    _replace(
        db,
        f"""SELECT * FROM interactions SEMI JOIN
        (SELECT {columns} FROM interactions GROUP BY {columns} HAVING {having}) AS enough USING ({columns})""",
    )


def _keep_latest(db: duckdb.DuckDBPyConnection, length: int) -> None:
    descending = ", ".join(f"{column} DESC" for column in ORDER.split(", "))
    _replace(
        db,
        f"""SELECT * FROM interactions
        QUALIFY row_number() OVER (PARTITION BY reviewer ORDER BY {descending}) <= {length}""",
    )


def _replace(db: duckdb.DuckDBPyConnection, query: str) -> None:
    db.execute(f"CREATE OR REPLACE TABLE interactions AS {query}")


def _rows(db: duckdb.DuckDBPyConnection) -> int:
    (count,) = db.execute("SELECT count(*) FROM interactions").fetchone() or (0,)
    return int(count)


def _users(db: duckdb.DuckDBPyConnection) -> int:
    (count,) = db.execute("SELECT count(DISTINCT reviewer) FROM interactions").fetchone() or (0,)
    return int(count)
