"""Distribute the items of two domains over the same themes and styles.

Shape legend: N items of a domain, T themes, S styles, C = T·S cells, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lecdsr.download.synthetic.settings import Settings, stream
from lecdsr.download.synthetic.words import FACETS, STYLES, THEMES

Ints = NDArray[np.int32]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

# The item of rank r in its cell has a popularity proportional to 1 / (r + 1) ** ZIPF.
ZIPF = 1.4
# With fewer items per theme, cells are too small to learn from, so fewer themes are used.
ITEMS_PER_THEME = 12


@dataclass(frozen=True)
class DomainItems:
    """Items of one domain, numbered in the order of their ids.

    Args:
        theme, style, facet: ``[N]`` properties of each item; ``facet`` is the index of a noun of its theme.
        quality: ``[N]`` offset that the item adds to its mean rating.
        by_cell: ``[N]`` items sorted by cell, the most popular of a cell first.
        cell_start: ``[C + 1]`` position in ``by_cell`` at which each cell starts.
    """

    theme: Codes
    style: Codes
    facet: Codes
    quality: NDArray[np.float32]
    by_cell: Ints
    cell_start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.theme)

    def draw(self, theme: Codes, style: Codes, uniform: Floats) -> Ints:
        """Draw items of the given cells by their popularity.

        Args:
            theme, style: ``[R]`` cell of each draw.
            uniform: ``[R]`` random numbers in [0, 1).

        Returns:
            ``[R]`` items.
        """
        cell = theme.astype(np.int64) * len(STYLES) + style
        start = self.cell_start[cell]
        size = self.cell_start[cell + 1] - start
        # Invert a continuous Zipf distribution, which needs no search in a table of all items.
        power = 1.0 - ZIPF
        reach = (size + 1.0) ** power
        rank = (1.0 - uniform * (1.0 - reach)) ** (1.0 / power) - 1.0
        item: Ints = self.by_cell[start + np.minimum(rank.astype(np.int64), size - 1)]
        return item


@dataclass(frozen=True)
class World:
    """The synthetic catalogue: shares of themes ``[T]`` and styles ``[S]``, and the items of both domains."""

    theme_share: Floats
    style_share: Floats
    domains: tuple[DomainItems, DomainItems]


def make_world(settings: Settings) -> World:
    """Draw popularities and items according to the settings."""
    rng = stream(settings.seed, "world")
    themes = int(np.clip(min(settings.items) // ITEMS_PER_THEME, 2, len(THEMES)))
    theme_share = _shares(rng, themes, spread=0.7)
    style_share = _shares(rng, len(STYLES), spread=0.5)
    cell_share = np.outer(theme_share, style_share).ravel()
    items_x, items_y = (
        _domain_items(stream(settings.seed, "catalogue", domain), items, cell_share)
        for domain, items in enumerate(settings.items)
    )
    return World(theme_share, style_share, (items_x, items_y))


def _shares(rng: np.random.Generator, count: int, spread: float) -> Floats:
    weights = np.exp(spread * rng.standard_normal(count))
    shares: Floats = weights / weights.sum()
    return shares


def _domain_items(rng: np.random.Generator, items: int, cell_share: Floats) -> DomainItems:
    cells = len(cell_share)
    # Popular cells have more items, but less than proportionally, so their items also have more interactions. No cell
    # is empty.
    weights = np.sqrt(cell_share) / np.sqrt(cell_share).sum()
    cell = np.concatenate([np.arange(cells), rng.choice(cells, size=items - cells, p=weights)]).astype(np.int16)
    rng.shuffle(cell)
    # Within a cell, items are in random order, which becomes their order of popularity.
    by_cell = np.lexsort((rng.random(items), cell)).astype(np.int32)
    return DomainItems(
        theme=(cell // len(STYLES)).astype(np.int8),
        style=(cell % len(STYLES)).astype(np.int8),
        facet=rng.integers(FACETS, size=items, dtype=np.int8),
        quality=rng.normal(0.0, 0.4, items).astype(np.float32),
        by_cell=by_cell,
        cell_start=np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=cells))]).astype(np.int64),
    )
