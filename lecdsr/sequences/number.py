"""Dense ids for the users and items that the filters left, and the interactions in their final order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from lecdsr.core.schemas import DOMAINS
from lecdsr.sequences.engine import Engine
from lecdsr.sequences.filter import ORDER


def number(engine: Engine) -> None:
    """Make ``users(user, reviewer, n_x, n_y)`` and ``items(item, domain, asin)`` of the interactions left.

    Items are numbered by domain and ASIN, users by reviewer, so ids do not depend on the order of
    the raw files. ``new_users(user, new)`` and ``new_items(item, new)`` lead from the numbers before.
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


def users(engine: Engine) -> Iterator[pa.Table]:
    """One row per user, see ``USERS``."""
    return engine.batches("SELECT user, reviewer, n_x, n_y FROM users ORDER BY user")


def ordered_interactions(engine: Engine) -> Iterator[pa.Table]:
    """``user, item, domain, time, rating``, sorted by user and then by the order in time."""
    order = ", ".join(f"interactions.{column}" for column in ORDER.split(", "))
    return engine.batches(
        f"""SELECT new_users.new AS user, new_items.new AS item, domain, CAST(time AS BIGINT) AS time, rating
        FROM interactions JOIN new_users USING (user) JOIN new_items USING (item)
        ORDER BY new_users.new, {order}"""
    )


def count_by_domain(domain: np.ndarray) -> dict[str, int]:
    """Occurrences of each domain, by its name."""
    return {name: int((domain == code).sum()) for code, name in enumerate(DOMAINS)}
