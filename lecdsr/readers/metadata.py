"""Read titles, brands, categories and descriptions of items from metadata files."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from lecdsr.readers.layouts import Layout
from lecdsr.readers.lines import iterate_lines
from lecdsr.readers.rejected import RejectedLines

MAX_CATEGORIES = 8
MAX_BRAND = 80
SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# A tag starts with a letter or a slash: "a < b" and "<3" are text.
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Control characters that Python does not treat as white space, so that they would survive a split.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f]")


class ItemTexts(NamedTuple):
    """Cleaned texts of one item; empty where the file has none."""

    title: str
    brand: str
    categories: list[str]
    description: str


#: Line number, ASIN, and a function that parses the other fields (``None`` if they cannot be read).
Record: TypeAlias = tuple[int, str, Callable[[], dict[str, Any] | None]]


class MetadataReader:
    """Reader of the texts of the wanted items in one metadata file, in a single pass.

    If an ASIN has several lines, the first one with a title is used.

    Args:
        wanted: number of each wanted item by its ASIN.
        text_length: maximum length of a title and of a description, in characters.
        rejected: records the malformed lines.

    Attributes:
        repeated: number of lines that repeat a wanted ASIN.
    """

    def __init__(self, wanted: Mapping[str, int], text_length: int, rejected: RejectedLines) -> None:
        self.wanted, self.text_length, self.rejected = wanted, text_length, rejected
        self.repeated = 0

    def items(self, records: Iterable[Record]) -> Iterator[tuple[int, ItemTexts]]:
        """Yield number and texts of each wanted item that has a readable line."""
        done: set[int] = set()
        untitled: dict[int, ItemTexts] = {}
        for number, asin, read in records:
            item = self.wanted.get(asin)
            if item is None:
                continue
            if item in done or item in untitled:
                self.repeated += 1
            if item in done:
                continue
            fields = read()
            if fields is None:
                self.rejected.add(number, "not readable", asin)
                continue
            texts = to_item(fields, self.text_length)
            if texts.title:
                done.add(item)
                untitled.pop(item, None)
                yield item, texts
            else:
                untitled.setdefault(item, texts)
        yield from untitled.items()


def records_of_lines(path: Path, layout: Layout, rejected: RejectedLines) -> Iterator[Record]:
    """Yield the lines of a metadata file that have an ASIN; the others are rejected.

    Raises:
        UserError: the file cannot be read to its end.
    """
    find = _python_asin if layout.python_dicts else _json_asin
    parse = parse_python if layout.python_dicts else parse_json
    for number, line in iterate_lines(path):
        rejected.total += 1
        asin = None if line is None else find(line)
        if line is None or asin is None:
            reason = "line too long" if line is None else "no asin, or not readable"
            rejected.add(number, reason, (line or b"").decode(errors="replace"))
            continue
        yield number, asin, lambda line=line: parse(line)  # type: ignore[misc]


class _Ids(msgspec.Struct):
    asin: str | None = None
    parent_asin: str | None = None


class _Fields(msgspec.Struct):
    title: Any = None
    brand: Any = None
    store: Any = None
    category: Any = None
    categories: Any = None
    description: Any = None


# Both decode only the keys they declare; the rest of the line is validated and skipped.
_IDS, _FIELDS = msgspec.json.Decoder(_Ids), msgspec.json.Decoder(_Fields)
_PYTHON_ASIN = re.compile(rb"""['"]asin['"]: ['"]([^'"]+)['"]""")


def _json_asin(line: bytes) -> str | None:
    try:
        ids = _IDS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return ids.parent_asin or ids.asin or None


def _python_asin(line: bytes) -> str | None:
    # Only the lines of wanted items are parsed completely; a regular expression finds the ASIN.
    found = _PYTHON_ASIN.search(line)
    return found[1].decode(errors="replace") if found else None


def parse_json(line: bytes) -> dict[str, Any] | None:
    """Parse the texts of a JSON line; ``None`` if it is not an object."""
    try:
        return msgspec.structs.asdict(_FIELDS.decode(line))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def parse_python(line: bytes) -> dict[str, Any] | None:
    """Parse a line that holds a Python dictionary as a literal, without evaluating code; ``None`` if it is not one."""
    try:
        value = ast.literal_eval(line.decode())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) else None


def to_item(fields: Mapping[str, Any], text_length: int) -> ItemTexts:
    """Clean the texts of one metadata line of any release and cut them to ``text_length`` characters."""
    title = clean(_text(fields.get("title")))
    categories = [clean(text) for text in _strings(fields.get("category") or fields.get("categories"))]
    distinct = list(dict.fromkeys(text[:text_length] for text in categories if text))
    return ItemTexts(
        title="" if is_script(title) else title[:text_length],
        brand=clean(_text(fields.get("brand") or fields.get("store")))[:MAX_BRAND],
        categories=distinct[:MAX_CATEGORIES],
        description=clean(_text(fields.get("description")))[:text_length],
    )


def is_script(title: str) -> bool:
    """Return whether a title is a page script, as some scraped titles of the 2018 release are."""
    return "getTime" in title or "function(" in title


def _strings(value: Any) -> list[str]:
    """Collect all strings of a value that is a string, a list, or a list of lists."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(_strings(value))


def clean(text: str) -> str:
    """Convert HTML to plain text: remove scripts, comments and tags, decode entities, collapse white space.

    Entities are decoded twice because the raw files contain ``&amp;amp;``.
    """
    if "<" in text or "&" in text:
        text = _without_tags(html.unescape(html.unescape(_without_tags(text))))
    # Splitting is much faster than replacing white space by a regular expression, and most texts are printable.
    return " ".join((text if text.isprintable() else CONTROL.sub(" ", text)).split())


def _without_tags(text: str) -> str:
    for pattern in (SCRIPT, COMMENT, TAG):
        text = pattern.sub(" ", text)
    return text
