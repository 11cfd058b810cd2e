"""Every item as it appears in prompts: its line in a history, and its facts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lecdsr.prompts.clean import clean

UNTITLED = "untitled product"

# Enough to know a product by; a history has up to `history_length` of them.
TITLE_LENGTH = 150
BRAND_LENGTH = 60
CATEGORY_LENGTH = 60
DESCRIPTION_LENGTH = 600
#: Categories run from general to special; the last ones say most.
CATEGORIES = 3


@dataclass(frozen=True)
class Item:
    """Cleaned facts of an item; empty where the catalogue has nothing."""

    domain: str
    title: str
    brand: str
    categories: tuple[str, ...]
    description: str

    def known(self) -> bool:
        """Whether there is anything to describe it by."""
        return bool(self.title or self.brand or self.categories or self.description)

    def line(self) -> str:
        """The item in a history: shop, title, brand where the title lacks it, categories."""
        parts = [f"[{self.domain}] {self.title or UNTITLED}"]
        if self.brand and self.brand.lower() not in self.title.lower():
            parts.append(self.brand)
        if self.categories:
            parts.append(", ".join(self.categories))
        return " | ".join(parts)

    def profile_facts(self) -> str:
        """JSON of what a history tells of the item."""
        return to_json(
            {"domain": self.domain, "title": self.title, "brand": self.brand, "categories": list(self.categories)}
        )

    def description_facts(self) -> str:
        """JSON of all that the catalogue tells of the item."""
        return to_json(
            {
                "title": self.title,
                "brand": self.brand,
                "categories": list(self.categories),
                "description": self.description,
            }
        )


def read_catalogue(items: pa.Table, domains: Sequence[str]) -> list[Item]:
    """The table ``ITEMS``, cleaned; ``domains`` are the names of X and Y."""
    shops = [shop_name(domain) for domain in domains]
    columns = (items[name].to_pylist() for name in ("domain", "title", "brand", "categories", "description"))
    return [
        Item(
            domain=shops[domain],
            title=clean(title, TITLE_LENGTH),
            brand=clean(brand, BRAND_LENGTH),
            categories=_categories(categories),
            description=clean(description, DESCRIPTION_LENGTH),
        )
        for domain, title, brand, categories, description in zip(*columns, strict=True)
    ]


def shop_name(domain: str) -> str:
    """A domain's name as people write it."""
    return domain.replace("_", " ")


def to_json(value: object) -> str:
    """Compact JSON, characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _categories(names: Sequence[str | None] | None) -> tuple[str, ...]:
    cleaned = (clean(name, CATEGORY_LENGTH) for name in names or ())
    return tuple(dict.fromkeys(name for name in cleaned if name))[-CATEGORIES:]
