"""Items as prompts show them: cleaned texts, one line per item in a history, and their fields as JSON."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lecdsr.prompts.profile import domain_name

UNTITLED = "untitled product"

# Long enough to recognise a product; a prompt lists up to `history_length` of them.
TITLE_LENGTH = 150
BRAND_LENGTH = 60
CATEGORY_LENGTH = 60
DESCRIPTION_LENGTH = 600
#: Categories run from general to specific; the last ones are the most informative.
CATEGORIES = 3


@dataclass(frozen=True)
class Item:
    """An item with cleaned text fields; a field without a value in the catalogue is empty."""

    domain: str
    title: str
    brand: str
    categories: tuple[str, ...]
    description: str

    def known(self) -> bool:
        """Return whether the item has any text from which it can be described."""
        return bool(self.title or self.brand or self.categories or self.description)

    def line(self) -> str:
        """Format the item as a line of a history: domain, title, brand unless it is in the title, categories."""
        parts = [f"[{self.domain}] {self.title or UNTITLED}"]
        if self.brand and self.brand.lower() not in self.title.lower():
            parts.append(self.brand)
        if self.categories:
            parts.append(", ".join(self.categories))
        return " | ".join(parts)

    def profile_facts(self) -> str:
        """Return the fields shown in a history as JSON."""
        return to_json(
            {"domain": self.domain, "title": self.title, "brand": self.brand, "categories": list(self.categories)}
        )

    def description_facts(self) -> str:
        """Return all fields of the catalogue as JSON."""
        return to_json(
            {
                "title": self.title,
                "brand": self.brand,
                "categories": list(self.categories),
                "description": self.description,
            }
        )


def read_catalogue(items: pa.Table, domains: Sequence[str]) -> list[Item]:
    """Convert the table ``ITEMS`` to cleaned items; ``domains`` are the names of X and Y."""
    domain_names = [domain_name(domain) for domain in domains]
    columns = (items[name].to_pylist() for name in ("domain", "title", "brand", "categories", "description"))
    return [
        Item(
            domain=domain_names[domain],
            title=clean(title, TITLE_LENGTH),
            brand=clean(brand, BRAND_LENGTH),
            categories=_categories(categories),
            description=clean(description, DESCRIPTION_LENGTH),
        )
        for domain, title, brand, categories, description in zip(*columns, strict=True)
    ]


def to_json(value: object) -> str:
    """Return compact JSON without escaped characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _categories(names: Sequence[str | None] | None) -> tuple[str, ...]:
    cleaned = (clean(name, CATEGORY_LENGTH) for name in names or ())
    return tuple(dict.fromkeys(name for name in cleaned if name))[-CATEGORIES:]


_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
# Angle brackets delimit data in a prompt and a bar separates the fields of a line. The full-width forms are replaced
# too, because readers and models cannot tell them from the others.
_MARKS = str.maketrans({"<": " ", ">": " ", "＜": " ", "＞": " ", "|": ",", "｜": ","})


def clean(text: str | None, length: int) -> str:
    """Return one line of plain text of at most ``length`` characters, cut at a word boundary.

    HTML entities are decoded and tags removed; line breaks, control and invisible characters become spaces; angle
    brackets are removed, so that no data can close the delimiter around it.
    """
    if not text:
        return ""
    text = _TAG.sub(" ", html.unescape(text))
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.translate(_MARKS).split())
    return text if len(text) <= length else _cut(text, length)


def _cut(text: str, length: int) -> str:
    head = text[: length - 1]
    whole_words = head.rpartition(" ")[0]
    # A single long word has no boundary to cut at.
    return (whole_words if len(whole_words) > length // 2 else head) + "…"
