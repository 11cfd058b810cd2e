"""Small tables with a different item for every interaction, so that a title identifies a row."""

from __future__ import annotations

import pyarrow as pa

from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS
from lecdsr.prompts.settings import Settings

DOMAINS = ("Pantry", "Home_Kitchen")


def settings(**values):
    defaults = {
        "profiles": True,
        "descriptions": False,
        "profile_versions": ["training"],
        "version": "v1",
        "history_length": 30,
        "history_tokens": 100_000,
        "profile_instruction": "Describe the customer.",
        "description_instruction": "Describe the product.",
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 200,
        "resample": 0,
    }
    return Settings(**{**defaults, **values})


def item(number, domain=0, title=None, brand=None, categories=(), description=None):
    return {
        "item": number,
        "domain": domain,
        "asin": f"A{number}",
        "title": title,
        "brand": brand,
        "categories": list(categories),
        "description": description,
        "train_count": 1,
    }


def items(rows):
    return pa.Table.from_pylist(rows, schema=ITEMS)


def users(count):
    return pa.Table.from_pylist(
        [{"user": user, "reviewer": f"r{user}", "n_x": 1, "n_y": 1} for user in range(count)], schema=USERS
    )


def interactions(rows):
    """Build interactions from ``rows`` of (user, item, domain, split), already in order."""
    return pa.Table.from_pylist(
        [
            {"user": user, "item": number, "domain": domain, "time": place, "rating": 5.0, "split": split}
            for place, (user, number, domain, split) in enumerate(rows)
        ],
        schema=INTERACTIONS,
    )
