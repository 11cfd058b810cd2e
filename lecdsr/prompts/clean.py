"""Catalogue text made safe to quote: titles are written by strangers."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
# Angle brackets build the delimiters around data, the bar separates fields of a line; the wide
# forms look alike to a reader and to a model.
_MARKS = str.maketrans({"<": " ", ">": " ", "＜": " ", "＞": " ", "|": ",", "｜": ","})


def clean(text: str | None, length: int) -> str:
    """One line of plain text of at most ``length`` characters, cut at a word.

    Entities and tags of HTML are resolved; line breaks, control and invisible characters become
    spaces; angle brackets go, so that no data can close the delimiter it is quoted in.
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
    # A single endless word has no space to be cut at.
    return (whole_words if len(whole_words) > length // 2 else head) + "…"
