"""Texts of the raw files made plain: no HTML, no entities, no control characters."""

from __future__ import annotations

import html
import re

SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# A tag begins with a letter or a slash: "a < b" and "<3" are text.
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def clean(text: str) -> str:
    """Plain text: scripts, comments and tags removed, entities decoded, white space collapsed.

    Entities are decoded twice, since the raw files hold ``&amp;amp;``.
    """
    if "<" in text or "&" in text:
        text = _without_tags(html.unescape(html.unescape(_without_tags(text))))
    return SPACE.sub(" ", text).strip()


def _without_tags(text: str) -> str:
    for pattern in (SCRIPT, COMMENT, TAG):
        text = pattern.sub(" ", text)
    return text
