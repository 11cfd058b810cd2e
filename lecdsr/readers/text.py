"""Texts of the raw files made plain: no HTML, no entities, no control characters."""

from __future__ import annotations

import html
import re

SCRIPT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# A tag begins with a letter or a slash: "a < b" and "<3" are text.
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Control characters that are no white space to Python, and so would survive a split.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f]")


def clean(text: str) -> str:
    """Plain text: scripts, comments and tags removed, entities decoded, white space collapsed.

    Entities are decoded twice, since the raw files hold ``&amp;amp;``.
    """
    if "<" in text or "&" in text:
        text = _without_tags(html.unescape(html.unescape(_without_tags(text))))
    # Splitting is many times faster than replacing white space by pattern, and most texts are printable.
    return " ".join((text if text.isprintable() else CONTROL.sub(" ", text)).split())


def _without_tags(text: str) -> str:
    for pattern in (SCRIPT, COMMENT, TAG):
        text = pattern.sub(" ", text)
    return text
