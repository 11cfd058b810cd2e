"""Find items by ASIN or title, and search titles by words, without holding up other requests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.lookup import Found, plain

#: Words of a search that are compared; more would only cost time.
_MOST_WORDS = 8
_SUGGESTIONS = 3


class Item(NamedTuple):
    """Texts of an item as the service returns them; ``title`` is ``None`` if it has none."""

    asin: str
    domain: str
    title: str | None
    categories: str


class Catalogue:
    """Items of both domains in memory.

    The command line takes the closest title for one that is misspelt. Comparing a text with all titles takes seconds,
    which strangers must not cost a service, so here a name is an ASIN or a title; :meth:`search` finds both.

    Args:
        items: table ``ITEMS``.
    """

    def __init__(self, items: pa.Table) -> None:
        self._asins: list[str] = items["asin"].to_pylist()
        self._titles: list[str] = items["title"].to_pylist()
        self._categories = [" › ".join(names) for names in items["categories"].to_pylist()]
        self._domains: list[int] = items["domain"].to_pylist()
        self._counts = items["train_count"].to_numpy()  # [N]
        self._by_asin = {asin: item for item, asin in enumerate(self._asins)}
        domain = np.array(self._domains)
        #: The item of each domain with the most training interactions.
        self.examples = [int(np.where(domain == code, self._counts, -1).argmax()) for code in np.unique(domain)]
        # A space in front, so that a word at the beginning is found like any other.
        plain_titles = [plain(title or "") for title in self._titles]
        self._searched = pa.array([f" {title}" for title in plain_titles], pa.large_string())
        self._by_title: dict[str, list[int]] = {}
        for item, title in enumerate(plain_titles):
            if title:
                self._by_title.setdefault(title, []).append(item)

    def __len__(self) -> int:
        return len(self._asins)

    def item(self, number: int) -> Item:
        """Return an item with its texts."""
        title = self._titles[number] or None
        return Item(self._asins[number], DOMAINS[self._domains[number]], title, self._categories[number])

    def find(self, text: str, where: str) -> Found:
        """Return the item with this ASIN or title; of several, the one with the most training interactions.

        Args:
            text: ASIN or title.
            where: part of the request, for the message.

        Raises:
            UserError: there is no such item.
        """
        number = self._by_asin.get(text, self._by_asin.get(text.upper()))
        if number is not None:
            return Found(number)
        same = self._by_title.get(plain(text), [])
        if not same:
            near = [self._name(number) for number in self.search(text, None, _SUGGESTIONS)]
            hint = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise UserError(
                f"there is no item {text!r} in this pair{hint}",
                where=where,
                do="give an ASIN or a whole title; GET /items?query= searches titles by words",
                code="unknown-item",
            )
        number = max(same, key=lambda one: (self._counts[one], -one))
        note = f"{len(same)} items have the title {text!r}; using {self._name(number)}" if len(same) > 1 else ""
        return Found(number, note)

    def _name(self, number: int) -> str:
        return f"{self._asins[number]} ({self._titles[number] or 'no title'})"

    def search(self, text: str, domain: int | None, k: int) -> list[int]:
        """Return up to ``k`` items whose title contains every word of a text, or whose ASIN is the text.

        Titles in which every word begins a word come first, then items with more training interactions.

        Args:
            text: what a user typed.
            domain: 0 (X) or 1 (Y); ``None`` searches both.
            k: number of items.
        """
        words = plain(text).split()[:_MOST_WORDS]
        exact = self._by_asin.get(text.strip().upper())
        if not words:
            return []
        begins = self._matches([f" {word}" for word in words])
        found: IntArray = np.flatnonzero(self._matches(words))
        order = np.lexsort((found, -self._counts[found], ~begins[found]))
        ranked = [] if exact is None else [exact]
        for number in found[order]:
            if len(ranked) >= k:
                break
            if number != exact and domain in (None, self._domains[number]):
                ranked.append(int(number))
        return [number for number in ranked if domain in (None, self._domains[number])]

    def _matches(self, parts: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """``[N]`` whether a title contains all parts."""
        found = np.ones(len(self), bool)
        for part in parts:
            found &= pc.match_substring(self._searched, part).to_numpy(zero_copy_only=False)
        return found
