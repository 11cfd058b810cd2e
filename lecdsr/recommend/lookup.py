"""Find items by ASIN, by title, or by the closest title."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.errors import UserError

#: Minimum similarity of a suggestion to the typed text (difflib ratio; 1 means equal).
CLOSE = 0.6
SUGGESTIONS = 3


class Found(NamedTuple):
    """A found item, and a note on how it was found, which is empty if the item was named exactly."""

    item: int
    note: str = ""


class Finder:
    """Finder of items in both domains; titles are compared without case, accents and repeated spaces."""

    def __init__(self, items: pa.Table) -> None:
        self.items = items

    def exact(self, text: str) -> Found | None:
        """Return the item with this ASIN or title; of several, the one with the most training interactions."""
        for asin in (text, text.upper()):
            place = pc.index(self.items["asin"], asin).as_py()
            if place >= 0:
                return Found(int(place))
        same = self._by_title.get(plain(text), [])
        if len(same) < 2:
            return Found(same[0]) if same else None
        item = self._commonest(same)
        return Found(item, f"{len(same)} items have the title {text!r}; using {self.name(item)}")

    def find(self, text: str) -> Found:
        """Find the item that ``text`` names: by exact match, else by a title with all its words, else by similarity.

        Raises:
            UserError: no item is close enough.
        """
        found = self.exact(text)
        if found is not None:
            return found
        if looks_like_asin(text):
            raise self._unknown(f"there is no item {text!r} in this pair", self._close_asins(text), "unknown-item")
        wanted = plain(text)
        words = wanted.split()
        holding = [title for title in self._by_title if words and all(word in title for word in words)]
        # Of the titles with all words, the shortest is the closest.
        close = [min(holding, key=len)] if holding else difflib.get_close_matches(wanted, self._by_title, 1, CLOSE)
        if not close:
            near = difflib.get_close_matches(wanted, self._by_title, SUGGESTIONS, CLOSE / 2)
            names = [self.name(self._commonest(self._by_title[title])) for title in near]
            raise self._unknown(
                f"no item of this pair matches {text!r}", (self._close_asins(text) + names)[:SUGGESTIONS], "no-match"
            )
        item = self._commonest(self._by_title[close[0]])
        more = f", the shortest of {len(holding):,} titles with these words" if len(holding) > 1 else ""
        return Found(item, f"no title matches {text!r} exactly; using the closest: {self.name(item)}{more}")

    def name(self, item: int) -> str:
        """Return ASIN and title of an item."""
        row = self.items.slice(item, 1).to_pylist()[0]
        return f"{row['asin']} ({row['title'] or 'no title'})"

    def _unknown(self, what: str, near: list[str], code: str) -> UserError:
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        return UserError(what + hint, do=f"give an ASIN or a title, for example {self.name(0)}", code=code)

    def _close_asins(self, text: str) -> list[str]:
        near = difflib.get_close_matches(text.upper(), self.items["asin"].to_pylist(), SUGGESTIONS, CLOSE)
        return [self.name(pc.index(self.items["asin"], asin).as_py()) for asin in near]

    def _commonest(self, items: list[int]) -> int:
        return max(items, key=lambda item: (self.items["train_count"][item].as_py(), -item))

    @cached_property
    def _by_title(self) -> dict[str, list[int]]:
        titles: dict[str, list[int]] = {}
        for item, title in enumerate(self.items["title"].to_pylist()):
            if title:
                titles.setdefault(plain(title), []).append(item)
        return titles


def plain(text: str) -> str:
    """Normalise text: lower case, no accents, single spaces."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def looks_like_asin(text: str) -> bool:
    """Return whether a text is ten capital letters and digits, so that it cannot be meant as a title."""
    return re.fullmatch(r"[A-Z0-9]{10}", text) is not None and any(letter.isdigit() for letter in text)
