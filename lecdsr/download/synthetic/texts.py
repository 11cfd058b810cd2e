"""Compose titles, brands, categories and descriptions of the synthetic items.

Texts are columns, one string per item; ``None`` means that the line lacks the field.

Shape legend: n items of a part of the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.download.synthetic.words import (
    BRANDS,
    COMPANIONS,
    FACETS,
    OPENERS,
    SIZES,
    STYLES,
    THEMES,
    VARIANTS,
    brand_names,
)
from lecdsr.download.synthetic.world import DomainItems

Places = NDArray[np.int64]

# Probabilities that an item has a brand of its theme, or else of its style.
HOME_THEME, HOME_STYLE = 0.5, 0.25


@dataclass(frozen=True)
class Texts:
    """Text columns of some items ``[n]``; ``description`` holds up to three sentences per item."""

    brand: pa.Array
    title: pa.Array
    native: pa.Array
    shelf: pa.Array
    kind: pa.Array
    description: tuple[pa.Array, ...]


def write_texts(rng: np.random.Generator, domain_items: DomainItems, domain: int, part: slice) -> Texts:
    """Compose the texts of a slice of the items.

    Args:
        rng: random generator for synonyms, brands, sizes and sentences.
        domain_items: items of the domain.
        domain: 0 for groceries, 1 for tools.
        part: slice of the items.
    """
    theme, style, facet = (getattr(domain_items, name)[part].astype(np.int64) for name in ("theme", "style", "facet"))
    brand = pick(brand_names(), _brands(rng, theme, style))
    kind = pick([noun for one in THEMES for noun in one.nouns[domain]], theme * FACETS + facet)
    about = _synonym(rng, [one.words[domain] for one in THEMES], theme)
    manner = _synonym(rng, [one.words[domain] for one in STYLES], style)
    follower = pick([noun for one in THEMES for noun in one.nouns[domain]], theme * FACETS + (facet + 1) % FACETS)
    return Texts(
        brand=brand,
        title=_titles(rng, domain, brand, manner, about, kind),
        native=pick([one.native for one in THEMES], theme),
        shelf=pick([one.shelves[domain] for one in THEMES], theme),
        kind=kind,
        description=_sentences(rng, domain, theme, style, kind, follower),
    )


def pick(words: Sequence[str], place: Places) -> pa.Array:
    """Return the words at the given positions, ``[n]``."""
    return pa.array(words, pa.string()).take(pa.array(place))


def any_of(rng: np.random.Generator, words: Sequence[str], size: int) -> pa.Array:
    """Draw words uniformly, ``[size]``."""
    return pick(words, rng.integers(len(words), size=size))


def join(*parts: pa.Array | str, separator: str = " ") -> pa.Array:
    """Join columns and constant strings row by row; missing values are skipped.

    Every row must have at least one value: Arrow 26 drops rows without any.
    """
    return pc.binary_join_element_wise(*parts, separator, null_handling="skip")


def where(mask: NDArray[np.bool_], yes: pa.Array | str | None, no: pa.Array | str | None) -> pa.Array:
    """Choose ``yes`` or ``no`` for each row by the mask."""
    scalars = (pa.scalar(value, pa.string()) if value is None else value for value in (yes, no))
    return pc.if_else(pa.array(mask), *scalars)


def _synonym(rng: np.random.Generator, synonyms: Sequence[Sequence[str]], code: Places) -> pa.Array:
    """Draw a synonym of every code; the first synonym is the most frequent."""
    counts = np.array([len(words) for words in synonyms])
    starts = np.cumsum(counts) - counts
    turn = np.floor(rng.random(len(code)) ** 1.5 * counts[code]).astype(np.int64)
    return pick([word for words in synonyms for word in words], starts[code] + turn)


def _brands(rng: np.random.Generator, theme: Places, style: Places) -> Places:
    """Draw brands that often, but not always, match the theme or the style."""
    brand = rng.integers(BRANDS, size=len(theme))
    luck = rng.random(len(theme))
    # Brand b belongs to theme b mod T and to style (b // T) mod S.
    themes, styles = len(THEMES), len(STYLES)
    at_theme = brand - brand % themes + theme
    at_style = (brand // (themes * styles) * styles + style) * themes + brand % themes
    return np.where(luck < HOME_THEME, at_theme, np.where(luck < HOME_THEME + HOME_STYLE, at_style, brand))


def _titles(
    rng: np.random.Generator, domain: int, brand: pa.Array, manner: pa.Array, about: pa.Array, kind: pa.Array
) -> pa.Array:
    """Compose titles in four word orders; some omit the style, the variant or the size."""
    n = len(brand)
    manner = where(rng.random(n) < 0.08, None, manner)
    variant = where(rng.random(n) < 0.75, None, any_of(rng, VARIANTS[domain], n))
    size = where(rng.random(n) < 0.4, None, any_of(rng, SIZES[domain], n))
    orders = (
        join(join(brand, manner, about, variant, kind), size, separator=", "),
        join(join(brand, about, kind), manner, variant, size, separator=", "),
        join(join(manner, variant, about, kind), join("by", brand), size, separator=" - "),
        join(join(brand, variant, about, kind), manner, size, separator=" | "),
    )
    order = rng.choice(len(orders), size=n, p=(0.5, 0.25, 0.15, 0.1))
    return pc.choose(pa.array(order), *orders)


def _sentences(
    rng: np.random.Generator, domain: int, theme: Places, style: Places, kind: pa.Array, follower: pa.Array
) -> tuple[pa.Array, ...]:
    """Compose one to three sentences: intended use, how the item is made, what goes with it."""
    n = len(theme)
    use = _synonym(rng, [one.uses for one in THEMES], theme)
    purpose = join(join(any_of(rng, OPENERS, n), use), ".", separator="")
    claim = _synonym(rng, [one.claims[domain] for one in STYLES], style)
    pairing = join(any_of(rng, COMPANIONS, n), pc.utf8_lower(kind), "with our", pc.utf8_lower(follower))
    pairing = join(pairing, ".", separator="")
    return purpose, where(rng.random(n) < 0.3, None, claim), where(rng.random(n) < 0.5, None, pairing)
