"""Format metadata lines as JSON, with the typical faults of real metadata files.

Values are columns of JSON texts, one per item; ``None`` means that the line lacks the key.

Shape legend: n items of a part of the catalogue.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.download.synthetic.settings import Settings, stream
from lecdsr.download.synthetic.texts import Texts, any_of, join, where, write_texts
from lecdsr.download.synthetic.words import STYLES
from lecdsr.download.synthetic.world import DomainItems

Bools = NDArray[np.bool_]

# Items per part; it affects the random numbers, so it must not depend on the machine.
PART = 100_000

# Shares of items without a metadata line and with a second one.
NO_LINE = 0.02
SECOND_LINE = 0.03  # in equal parts: the same line, another title, an empty title
NO_TITLE, EMPTY_TITLE, SCRIPT_TITLE = 0.015, 0.015, 0.005
NO_DESCRIPTION, EMPTY_DESCRIPTION, TEXT_DESCRIPTION = 0.02, 0.05, 0.02
NO_BRAND, EMPTY_BRAND = 0.02, 0.04
ENTITIES, TAGS_TITLE, TAGS_DESCRIPTION, NATIVE_TITLE = 0.6, 0.02, 0.05, 0.03

# Content of the title field where the web page was scraped wrongly.
_SCRIPT = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"


def metadata_lines(
    settings: Settings, domain_items: DomainItems, domain: int, name: str, asin: pa.Array, part: int
) -> pa.Array:
    """Make the lines of one part of a domain's items: the first line of every item, then second lines of some items.

    Args:
        settings: supply the random seed.
        domain_items: items of the domain.
        domain: number of the domain, 0 or 1.
        name: the domain's name.
        asin: ids of all items.
        part: number of the part, which has ``PART`` items.
    """
    rng = stream(settings.seed, "texts", domain, part)
    items = slice(part * PART, min((part + 1) * PART, len(domain_items)))
    texts = write_texts(rng, domain_items, domain, items)
    label = name.replace("_", " ")
    also_buy = _also_buy(rng, domain_items, asin, items)
    fields = _fields(rng, texts, label, asin[items.start : items.stop], also_buy)
    present = rng.random(len(texts.title)) >= NO_LINE
    lines = _lines(fields).filter(pa.array(present))
    return pa.concat_arrays([lines, _second_lines(rng, fields, texts, present)])


def _fields(
    rng: np.random.Generator, texts: Texts, label: str, asin: pa.Array, also_buy: pa.Array
) -> dict[str, pa.Array]:
    """Make the JSON of all fields, in the order in which a line lists them."""
    return {
        "category": _list(_json(_entities(pa.scalar(label))), _json(_entities(texts.shelf)), _json(texts.kind)),
        "description": _descriptions(rng, texts),
        "title": _titles(rng, texts),
        "also_buy": also_buy,
        "brand": _brands(rng, texts),
        "rank": _ranks(rng, label, len(asin)),
        "main_cat": pa.repeat(_json(_entities(pa.scalar(label))), len(asin)),
        "price": _prices(rng, len(asin)),
        "asin": _json(asin),
    }


def _titles(rng: np.random.Generator, texts: Texts) -> pa.Array:
    n = len(texts.title)
    title = where(rng.random(n) < NATIVE_TITLE, join(texts.title, texts.native, separator=" - "), texts.title)
    title = where(rng.random(n) < ENTITIES, _entities(title), title)
    title = where(rng.random(n) < TAGS_TITLE, join("<b>", title, "</b><br>", separator=""), title)
    luck = rng.random(n)
    title = where(luck < SCRIPT_TITLE, _SCRIPT, title)
    title = where((luck >= 0.1) & (luck < 0.1 + EMPTY_TITLE), "", title)
    return where((luck >= 0.2) & (luck < 0.2 + NO_TITLE), None, _json(title))


def _descriptions(rng: np.random.Generator, texts: Texts) -> pa.Array:
    n = len(texts.title)
    purpose, *others = texts.description
    tagged = rng.random(n) < TAGS_DESCRIPTION
    purpose = where(tagged, join("<p><b>", purpose, "</b></p><br />&nbsp;", separator=""), purpose)
    value = _list(*(_json(sentence) for sentence in (purpose, *others)))
    luck = rng.random(n)
    value = where(luck < EMPTY_DESCRIPTION, "[]", value)
    value = where((luck >= 0.1) & (luck < 0.1 + TEXT_DESCRIPTION), _json(purpose), value)
    return where((luck >= 0.2) & (luck < 0.2 + NO_DESCRIPTION), None, value)


def _brands(rng: np.random.Generator, texts: Texts) -> pa.Array:
    luck = rng.random(len(texts.brand))
    brand = where(luck < ENTITIES, _entities(texts.brand), texts.brand)
    brand = where((luck >= 0.1) & (luck < 0.1 + EMPTY_BRAND), "", brand)
    return where((luck >= 0.2) & (luck < 0.2 + NO_BRAND), None, _json(brand))


def _ranks(rng: np.random.Generator, label: str, n: int) -> pa.Array:
    """Make sales ranks: mostly a string that is cut off, sometimes a list of strings or an empty list."""
    thousands = pc.cast(pa.array(rng.integers(1, 3000, size=n)), pa.string())
    place = join(thousands, any_of(rng, [f"{rest:03d}" for rest in range(1000)], n), separator=",")
    luck = rng.random(n)
    listed = join('[">#', place, f' in {label} (See Top 100 in {label})"]', separator="")
    return where(luck < 0.1, listed, where(luck < 0.4, "[]", join('"', place, f' in {label} ("', separator="")))


def _prices(rng: np.random.Generator, n: int) -> pa.Array:
    """Make prices: mostly a string with a currency sign, often an empty one, sometimes a range or a number."""
    low = pc.cast(pa.array(rng.integers(2, 100, size=n)), pa.string())
    luck = rng.random(n)
    span = join('"$', low, ".49 - $", low, '.99"', separator="")
    price = where(luck < 0.05, span, join('"$', low, '.99"', separator=""))
    return where(luck < 0.1, join(low, ".5", separator=""), where(luck < 0.4, '""', price))


def _also_buy(rng: np.random.Generator, domain_items: DomainItems, asin: pa.Array, items: slice) -> pa.Array:
    """Make lists of related item ids: the most popular item with the same theme and style, or an empty list."""
    cell = domain_items.theme[items].astype(np.int64) * len(STYLES) + domain_items.style[items]
    leader = domain_items.by_cell[domain_items.cell_start[cell]]
    listed = join("[", _json(asin.take(pa.array(leader))), "]", separator="")
    return where(rng.random(len(listed)) < 0.6, "[]", listed)


def _second_lines(rng: np.random.Generator, fields: dict[str, pa.Array], texts: Texts, present: Bools) -> pa.Array:
    """Make second lines for some items whose first line has a title; they have the same or worse content."""
    useless = pa.array(["", _SCRIPT])
    titled = ~pc.is_in(pc.fill_null(fields["title"], '""'), _json(useless)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(present & titled & (rng.random(len(titled)) < SECOND_LINE))
    taken = {name: column.take(pa.array(rows)) for name, column in fields.items()}
    fate = rng.integers(3, size=len(rows))
    other = _json(join(texts.kind, join("(", texts.native, ")", separator="")).take(pa.array(rows)))
    taken["title"] = where(fate == 0, taken["title"], where(fate == 1, other, '""'))
    return _lines(taken)


def _lines(fields: dict[str, pa.Array]) -> pa.Array:
    members = (
        pc.binary_join_element_wise(f'"{name}": ', column, "", null_handling="emit_null")
        for name, column in fields.items()
    )
    return join("{", join(*members, separator=", "), "}", separator="")


def _list(*values: pa.Array) -> pa.Array:
    return join("[", join(*values, separator=", "), "]", separator="")


def _json(text: pa.Array) -> pa.Array:
    """Encode texts as JSON strings; a row without text stays null."""
    for raw, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = pc.replace_substring(text, raw, escaped)
    return pc.binary_join_element_wise('"', text, '"', "", null_handling="emit_null")


def _entities(text: pa.Array) -> pa.Array:
    for raw, escaped in (("&", "&amp;"), ('"', "&quot;"), ("'", "&#39;")):
        text = pc.replace_substring(text, raw, escaped)
    return text
