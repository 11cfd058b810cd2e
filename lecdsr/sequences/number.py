"""Dense ids for users and items, and the interactions in their final order."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from lecdsr.base.schemas import DOMAINS, ITEMS, USERS
from lecdsr.raw.metadata import UNKNOWN, Item
from lecdsr.sequences.filter import ORDER


def number(db: duckdb.DuckDBPyConnection) -> None:
    """Create ``item_ids(item, domain, asin)`` and ``user_ids(user, reviewer)`` of the interactions left.

    Items are numbered by domain and ASIN, users by reviewer, so ids do not depend on the order of
    the raw files.
    """
    db.execute(
        """
        CREATE OR REPLACE TABLE item_ids AS
        SELECT row_number() OVER (ORDER BY domain, asin) - 1 AS item, domain, asin
        FROM (SELECT DISTINCT domain, asin FROM interactions) ORDER BY item;
        CREATE OR REPLACE TABLE user_ids AS
        SELECT row_number() OVER (ORDER BY reviewer) - 1 AS user, reviewer
        FROM (SELECT DISTINCT reviewer FROM interactions) ORDER BY user;
        """
    )


def ordered_interactions(db: duckdb.DuckDBPyConnection) -> pa.Table:
    """``user, item, domain, time, rating``, sorted by user and then by the order in time."""
    return db.sql(
        f"""
        SELECT user::INTEGER AS user, item::INTEGER AS item, domain, time, rating
        FROM interactions JOIN user_ids USING (reviewer) JOIN item_ids USING (domain, asin)
        ORDER BY user, {ORDER}, item
        """
    ).to_arrow_table()


def users_table(db: duckdb.DuckDBPyConnection) -> pa.Table:
    """One row per user, see ``USERS``."""
    return (
        db.sql(
            """
        SELECT user::INTEGER AS user, reviewer,
            (count(*) FILTER (domain = 0))::INTEGER AS n_x, (count(*) FILTER (domain = 1))::INTEGER AS n_y
        FROM interactions JOIN user_ids USING (reviewer) GROUP BY ALL ORDER BY user
        """
        )
        .to_arrow_table()
        .cast(USERS)
    )


def items_table(
    db: duckdb.DuckDBPyConnection, texts: tuple[dict[str, Item], dict[str, Item]], train_items: np.ndarray
) -> pa.Table:
    """One row per item, see ``ITEMS``.

    Args:
        db: holds ``item_ids``.
        texts: metadata of each domain by ASIN; an ASIN without metadata gets empty texts.
        train_items: item of every training interaction.
    """
    ids = db.sql("SELECT item::INTEGER AS item, domain, asin FROM item_ids ORDER BY item").to_arrow_table()
    pairs = zip(ids["domain"].to_pylist(), ids["asin"].to_pylist(), strict=True)
    rows = [texts[domain].get(asin, UNKNOWN) for domain, asin in pairs]
    counts = np.bincount(train_items, minlength=len(rows)).astype(np.int32)
    columns = {name: [getattr(row, name) for row in rows] for name in Item._fields}
    return pa.table(
        {
            "item": ids["item"],
            "domain": ids["domain"],
            "asin": ids["asin"],
            "title": columns["title"],
            "brand": columns["brand"],
            "categories": pa.array(columns["categories"], ITEMS.field("categories").type),
            "description": columns["description"],
            "train_count": counts,
        }
    ).cast(ITEMS)


def count_by_domain(domain: np.ndarray) -> dict[str, int]:
    """Occurrences of each domain, by its name."""
    return {name: int((domain == code).sum()) for code, name in enumerate(DOMAINS)}
