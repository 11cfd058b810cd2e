"""Filters: dates, users of both domains, repeats, minimum interactions of users and items, maximum length.

The input is a table ``ratings(reviewer, domain, asin, rating, time, row)``. The output is
``interactions(user, item, domain, rating, time, row)``, with the tables ``user_ids(user, reviewer)`` and
``item_ids(item, domain, asin)`` that map its numbers to names. ``domain`` is 0 for X and 1 for Y; ``row`` is the line
number in the raw file. The time order is ``time, domain, row``: Amazon's files give no order within a day, so we
order by domain (X before Y) and then by line number.
"""

from __future__ import annotations

import datetime
from typing import TypeAlias

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.sequences.engine import Engine, rows
from lecdsr.sequences.settings import Settings

ORDER = "time, domain, row"

#: Interactions, users and items left after each filter, in the order in which they were applied.
FilterCounts: TypeAlias = dict[str, dict[str, int]]

ADVICE = {
    "raw": "check `release` in the pair's file and the raw files: no line could be read",
    "dates": "set sequences.start_date and sequences.end_date to the period of the data",
    "overlap": "no user has interactions in both domains: use raw files of the same release, or set sequences.overlap "
    "to all",
    "min_item": "lower sequences.min_item",
    "min_user_domain": "lower sequences.min_user_domain, or keep other users with sequences.overlap",
    "min_user_total": "lower sequences.min_user_total",
    "until_stable": "lower sequences.min_item, min_user_domain or min_user_total, or set until_stable to false",
}


def apply_filters(engine: Engine, settings: Settings) -> FilterCounts:
    """Create ``interactions`` and its id tables from ``ratings``, with every filter of the settings.

    Returns:
        Counts after each filter; ``min_user_domain`` has the users of both domains before the minimum of total
        interactions (24,972 in the published Toy–Game preparation).

    Raises:
        UserError: a filter removed every user; the message names it.
    """
    counts: FilterCounts = {}
    _count_raw(engine, counts, "raw")
    if _keep_dates(engine, settings.start_date, settings.end_date):
        _count_raw(engine, counts, "dates")
    _assign_numbers(engine, settings.overlap)
    engine.drop("ratings")
    users = rows(engine, "user_ids")
    if settings.overlap == "only":
        _count(engine, counts, "overlap", users)
    _drop_repeats(engine, settings.repeats)
    _count(engine, counts, "repeats", users)
    users = _drop_rare(engine, settings, counts)
    if settings.until_stable:
        users = _keep_core(engine, settings, counts)
    if settings.max_length is not None:
        _keep_latest(engine, settings.max_length)
        _count(engine, counts, "max_length", users)
    return counts


def _drop_rare(engine: Engine, settings: Settings, counts: FilterCounts) -> int:
    """Drop rare items, then users with too few interactions, each once; return the number of remaining users."""
    _drop_items(engine, settings.min_item)
    engine.replace("user_counts", f"SELECT {USER_COUNTS} FROM interactions GROUP BY user")
    _count(engine, counts, "min_item", rows(engine, "user_counts"))
    # Dropping one user does not change the counts of others, so users are counted once.
    for name, enough in _minimum_conditions(settings).items():
        _drop_users(engine, f"SELECT user FROM user_counts WHERE NOT ({enough})")
        engine.replace("user_counts", f"SELECT * FROM user_counts WHERE {enough}")
        _count(engine, counts, name, rows(engine, "user_counts"))
    users = rows(engine, "user_counts")
    engine.drop("user_counts")
    return users


def _keep_core(engine: Engine, settings: Settings, counts: FilterCounts) -> int:
    """Drop items and users until all have enough interactions (k-core); return the number of remaining users.

    After the first round only few users change, so only users who lost an item are counted again.
    """
    enough = " AND ".join(f"({condition})" for condition in _minimum_conditions(settings).values())
    while _drop_items(engine, settings.min_item, touched=True):
        recount = f"SELECT {USER_COUNTS} FROM interactions SEMI JOIN touched USING (user) GROUP BY user"
        if not _drop_users(engine, f"SELECT user FROM ({recount}) AS user_counts WHERE NOT ({enough})"):
            break
    (users,) = engine.row("SELECT count(DISTINCT user) FROM interactions")
    _count(engine, counts, "until_stable", users)
    return users


# Columns on which the minima of users are tested.
USER_COUNTS = "user, count(*) FILTER (WHERE domain = 0) AS n_x, count(*) FILTER (WHERE domain = 1) AS n_y"


def _minimum_conditions(settings: Settings) -> dict[str, str]:
    """Return the conditions on ``n_x`` and ``n_y`` of a user, by the name of the setting."""
    conditions = {}
    if settings.overlap == "only":
        conditions["min_user_domain"] = f"least(n_x, n_y) >= {settings.min_user_domain}"
    conditions["min_user_total"] = f"n_x + n_y >= {settings.min_user_total}"
    return conditions


def _drop_items(engine: Engine, least: int, touched: bool = False) -> bool:
    """Drop the items with too few interactions; return whether there were any.

    With ``touched``, the table ``touched`` then lists the users who lost an item.
    """
    engine.replace("too_few", f"SELECT item FROM interactions GROUP BY item HAVING count(*) < {least}")
    if not rows(engine, "too_few"):
        return False
    if touched:
        engine.replace("touched", "SELECT DISTINCT user FROM interactions SEMI JOIN too_few USING (item)")
    engine.replace("interactions", "SELECT * FROM interactions ANTI JOIN too_few USING (item)")
    return True


def _drop_users(engine: Engine, query: str) -> bool:
    """Drop the users in the result of ``query``; return whether there were any."""
    engine.replace("too_few", query)
    if not rows(engine, "too_few"):
        return False
    engine.replace("interactions", "SELECT * FROM interactions ANTI JOIN too_few USING (user)")
    return True


def _keep_dates(engine: Engine, start: datetime.date | None, end: datetime.date | None) -> bool:
    """Keep the days from ``start`` to ``end``; return whether a date was set."""
    conditions = []
    if start is not None:
        conditions.append(f"time >= {_epoch(start)}")
    if end is not None:
        conditions.append(f"time < {_epoch(end) + SECONDS_PER_DAY}")
    if conditions:
        engine.replace("ratings", f"SELECT * FROM ratings WHERE {' AND '.join(conditions)}")
    return bool(conditions)


def _epoch(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())


def _count_raw(engine: Engine, counts: FilterCounts, name: str) -> None:
    """Count the rows of ``ratings``, and create tables of its distinct reviewers and ASINs."""
    engine.replace(
        "reviewers",
        "SELECT reviewer, min(domain) AS first, max(domain) AS last FROM ratings GROUP BY reviewer",
    )
    engine.replace("asins", "SELECT DISTINCT domain, asin FROM ratings")
    _record_counts(counts, name, rows(engine, "ratings"), rows(engine, "reviewers"), rows(engine, "asins"))


def _assign_numbers(engine: Engine, overlap: str) -> None:
    """Number reviewers and items in sorted order, so that later queries do not handle strings."""
    kept = "WHERE first <> last" if overlap == "only" else ""
    engine.replace(
        "user_ids",
        f"SELECT CAST(row_number() OVER (ORDER BY reviewer) - 1 AS INTEGER) AS user, reviewer FROM reviewers {kept}",
    )
    engine.replace(
        "item_ids",
        "SELECT CAST(row_number() OVER (ORDER BY domain, asin) - 1 AS INTEGER) AS item, domain, asin FROM asins",
    )
    engine.drop("reviewers")
    engine.drop("asins")
    engine.replace(
        "interactions",
        """SELECT user, item, domain, rating, time, row
        FROM ratings JOIN user_ids USING (reviewer) JOIN item_ids USING (domain, asin)""",
    )


def _drop_repeats(engine: Engine, repeats: str) -> None:
    """Keep the earliest of repeated interactions; only the repeated ones are sorted, because they are few."""
    key = "user, item" if repeats == "first" else "user, item, time"
    engine.replace("repeated", f"SELECT {key} FROM interactions GROUP BY {key} HAVING count(*) > 1")
    columns = "user, item, domain, rating, time, row"
    engine.replace(
        "interactions",
        f"""SELECT {columns} FROM interactions ANTI JOIN repeated USING ({key})
        UNION ALL
        SELECT {columns} FROM (
            SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY time, row) AS place
            FROM interactions SEMI JOIN repeated USING ({key})
        ) AS places WHERE place = 1""",
    )
    engine.drop("repeated")


def _keep_latest(engine: Engine, length: int) -> None:
    """Keep the latest interactions of each user; only users above the maximum are sorted."""
    descending = ", ".join(f"{column} DESC" for column in ORDER.split(", "))
    engine.replace("longer", f"SELECT user FROM interactions GROUP BY user HAVING count(*) > {length}")
    columns = "user, item, domain, rating, time, row"
    engine.replace(
        "interactions",
        f"""SELECT {columns} FROM interactions ANTI JOIN longer USING (user)
        UNION ALL
        SELECT {columns} FROM (
            SELECT *, row_number() OVER (PARTITION BY user ORDER BY {descending}) AS place
            FROM interactions SEMI JOIN longer USING (user)
        ) AS places WHERE place <= {length}""",
    )
    engine.drop("longer")


def _count(engine: Engine, counts: FilterCounts, name: str, users: int) -> None:
    interactions, items = engine.row("SELECT count(*), count(DISTINCT item) FROM interactions")
    _record_counts(counts, name, interactions, users, items)


def _record_counts(counts: FilterCounts, name: str, interactions: int, users: int, items: int) -> None:
    """Record the counts after a filter.

    Raises:
        UserError: nothing is left.
    """
    counts[name] = {"interactions": interactions, "users": users, "items": items}
    if not interactions:
        where = "sequences" if name in ("raw", "dates") else f"sequences.{name}"
        raise UserError(f"filter {name!r} removed every user", where=where, do=ADVICE[name], code="empty-filter")
