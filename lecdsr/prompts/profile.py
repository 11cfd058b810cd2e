"""Structured profiles: a portrait of a user, and the product types they are likely to buy next in each domain.

A language model is asked for the lines that :func:`format_profile` writes. :func:`parse_profile` also reads what models
write instead: JSON, bulleted lists, or plain prose, which is a portrait without lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Most phrases kept per domain, and most characters of a phrase.
PHRASES = 8
PHRASE_LENGTH = 80
#: Characters of a reply that are read; the rest can only be a model that repeats itself.
_READ = 20_000

Section = str | int
Part = tuple[Section, list[str]]

PORTRAIT = "portrait"
# Words around the name of a domain in a heading, such as "Most likely next product types in".
_AROUND = frozenset(
    re.findall(
        r"\w+",
        """a buy buys domain for from in is item items kind kinds likeliest likely list most next of phrases probable
        product products purchase purchases shop six 6 the they this to type types will""",
    )
)
_PREDICTS = frozenset({"next", "likely", "likeliest", "probable"})
_NOTHING = frozenset({"", "none", "n/a", "na", "nothing", "unknown", "null"})
_BULLET = re.compile(r"(?:[-*•·–—]|\(?\d{1,2}[.)])\s+")
_HEADING = re.compile(r"([^:：]{1,120})[:：]\s*(.*)")
_DASHED = re.compile(r"(.{1,120}?)\s[-–—]\s+(.*)")
_UNNAMED = re.compile(r"(?:likely |most likely )?next(?: (?:in|for|from) .{1,60}| [^ ]{1,40})?")
# A comma inside a number or inside brackets does not end a phrase.
_SEPARATOR = re.compile(r"(?:;|(?<!\d),|,(?!\d))(?![^()]{0,60}\))")
_INNER = re.compile(r"\s*(?:;|(?<!\d),|,(?!\d))\s*")
# Most phrases have nothing to remove.
_PLAIN = re.compile(r"(?!and )[^\W_](?:[\w '’&%-]*[^\W_])?")
# Brackets without their partner would hide the separators after them.
_BALANCED = re.compile(r"[^()]*(?:\([^()]*\)[^()]*)*")
_BRACKETS = str.maketrans("()", "  ")
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)


@dataclass(frozen=True)
class Profile:
    """A parsed profile; ``next`` holds phrases for domain X and domain Y, most likely first."""

    portrait: str = ""
    next: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def domain_name(domain: str) -> str:
    """Return the name of a domain as plain text, with spaces for underscores."""
    return domain.replace("_", " ")


def format_profile(profile: Profile, domains: Sequence[str]) -> str:
    """Write a profile as lines: the portrait, then the phrases of each domain; empty parts are left out."""
    lines = [f"Portrait: {profile.portrait}"] if profile.portrait else []
    for domain, phrases in zip(domains, profile.next, strict=True):
        if phrases:
            lines.append(f"Next in {domain_name(domain)}: {', '.join(phrases)}")
    return "\n".join(lines)


def parse_profile(text: str, domains: Sequence[str]) -> Profile:
    """Read a profile from an answer; what cannot be read as lists is the portrait.

    Args:
        text: answer of a language model: lines as :func:`format_profile` writes them, JSON, or prose.
        domains: names of the domains X and Y.

    Returns:
        At most :data:`PHRASES` phrases per domain, of at most :data:`PHRASE_LENGTH` characters, without duplicates.
    """
    text = text[:_READ]
    parts = _parts_of_json(text, domains) or _parts_of_lines(text, domains)
    portrait, lists = _assign(parts)
    plain = " ".join(" ".join(portrait).replace("**", "").split())
    return Profile(plain, (_phrases(lists[0]), _phrases(lists[1])))


def _assign(parts: Iterable[Part]) -> tuple[list[str], tuple[list[str], list[str]]]:
    """Give lists whose heading names no known domain to the domains without a list, in order."""
    portrait: list[str] = []
    lists: tuple[list[str], list[str]] = ([], [])
    unnamed: dict[str, list[str]] = {}
    for section, texts in parts:
        if isinstance(section, int):
            lists[section].extend(texts)
        elif section == PORTRAIT:
            portrait += texts
        else:
            unnamed.setdefault(section, []).extend(texts)
    free = [phrases for phrases in lists if not phrases]
    for place, texts in enumerate(unnamed.values()):
        (free[place] if place < len(free) else portrait).extend(texts)
    return portrait, lists


def _parts_of_lines(text: str, domains: Sequence[str]) -> list[Part]:
    parts: list[Part] = [(PORTRAIT, [])]
    after_blank = False
    for raw in _FENCE.sub("", text).splitlines():
        line, bulleted = _unmarked(raw)
        if not line:
            after_blank = True
            continue
        heading = _heading(line, domains)
        section, texts = parts[-1]
        if heading is not None:
            parts.append((heading[0], _contents(*heading)))
        elif section == PORTRAIT or (after_blank and texts and not bulleted):  # a remark after the lists
            parts.append((PORTRAIT, [line]))
        else:
            texts += _contents(section, line)
        after_blank = False
    return parts


def _contents(section: Section, text: str) -> list[str]:
    if section == PORTRAIT:
        return [text] if text else []
    return [phrase for phrase in _SEPARATOR.split(text) if phrase.strip()]


def _unmarked(line: str) -> tuple[str, bool]:
    """Remove Markdown's marks of headings, emphasis and lists; say whether the line was an entry of a list."""
    line = line.replace("**", "").strip()
    rest = line.lstrip("#").strip() if line.startswith("#") else _without_bullet(line)
    return rest, rest != line and not line.startswith("#")


def _without_bullet(text: str) -> str:
    while (bullet := _BULLET.match(text)) is not None:
        text = text[bullet.end() :].strip()
    return text


def _heading(line: str, domains: Sequence[str]) -> tuple[Section, str] | None:
    """Split a line such as ``Next in Kitchen: whisk, bowl`` into its section and its text; None without a heading."""
    for pattern in (_HEADING, _DASHED):
        match = pattern.fullmatch(line)
        if match is not None and (section := _section(match[1], domains)) is not None:
            return section, match[2].strip()
    # A line of its own, such as the heading of a bulleted list.
    section = _section(line, domains) if len(line) <= 120 else None
    return None if section is None else (section, "")


def _section(heading: str, domains: Sequence[str]) -> Section | None:
    """Return the part of a profile that a heading or key names; None if it names none."""
    written = heading.replace("_", " ")
    names = [f"Next in {domain_name(domain)}" for domain in domains]
    if written in names:  # names may differ in case or spaces alone
        return names.index(written)
    plain, folded = _folded(written), [_folded(name) for name in names]
    if plain in folded:
        return folded.index(plain)
    words = re.findall(r"\w+", plain)
    if words in (["portrait"], ["profile"], ["customer", "portrait"], ["user", "portrait"]):
        return PORTRAIT
    named = _named_domain(words, domains)
    if named is not None:
        return named
    return plain if _UNNAMED.fullmatch(plain) else None


def _folded(text: str) -> str:
    """Lower case, with single spaces."""
    return " ".join(text.lower().split())


def _named_domain(words: Sequence[str], domains: Sequence[str]) -> int | None:
    """Return the domain whose whole name, or a part of it that the other lacks, stands among words of prediction."""
    names = [re.findall(r"\w+", domain_name(domain).lower()) for domain in domains]
    if list(words) in names:
        return names.index(list(words))
    if not _PREDICTS & set(words):
        return None
    own = [word for word in words if word not in _AROUND]
    whole = [[word for word in name if word not in _AROUND] for name in names]
    for matches in ([own == name for name in whole], [bool(own) and set(own) <= set(name) for name in names]):
        if sum(matches) == 1:
            return matches.index(True)
    return {"x": 0, "y": 1, "1": 0, "2": 1}.get(own[0]) if len(own) == 1 else None


def _parts_of_json(text: str, domains: Sequence[str]) -> list[Part]:
    """Read the object that begins a line of the text; empty if there is none or no key of it is known."""
    start = re.search(r"^[ \t]*\{", text, re.MULTILINE)
    end = text.rfind("}")
    if start is None or end < start.end():
        return []
    try:
        value = json.loads(text[start.start() : end + 1])
    except (ValueError, RecursionError):
        return []
    return list(_members(value, domains))


def _members(value: dict[str, Any], domains: Sequence[str]) -> Iterator[Part]:
    for key, member in value.items():
        section = _section(key, domains)
        if section == "next" and isinstance(member, dict):
            for name, phrases in member.items():
                own = _section(f"next in {name}", domains)
                yield (f"next in {name}" if own is None else own), list(_strings(phrases))
        elif section == "next" and isinstance(member, list) and any(isinstance(entry, list) for entry in member):
            yield from ((number, list(_strings(entry))) for number, entry in enumerate(member[:2]))
        elif section == PORTRAIT:
            yield PORTRAIT, [" ".join(_strings(member, split=False))]
        elif section is not None:
            yield section, list(_strings(member))


def _strings(value: Any, split: bool = True) -> Iterator[str]:
    """Yield the phrases of a JSON value: its entries, or the parts of a text."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode("utf-8")  # JSON can hold half a surrogate pair
        yield from (part for line in text.splitlines() for part in _SEPARATOR.split(line)) if split else (text,)
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict):
                entry = next((field for field in entry.values() if isinstance(field, str)), None)
            if isinstance(entry, str):
                yield " ".join(_strings(entry, split=False))


def _phrases(texts: Iterable[str]) -> tuple[str, ...]:
    """Tidy phrases, drop empty and repeated ones, and keep the first ones."""
    kept: dict[str, str] = {}
    for text in texts:
        phrase = _tidy(_cut(_tidy(text)))
        if phrase.lower() not in _NOTHING and any(character.isalnum() for character in phrase):
            kept.setdefault(phrase.lower(), phrase)
    return tuple(kept.values())[:PHRASES]


def _tidy(phrase: str) -> str:
    """Remove list marks, quotes and final punctuation, until nothing is left to remove."""
    phrase = phrase.strip()
    if _PLAIN.fullmatch(phrase) and "  " not in phrase:
        return phrase
    before = None
    while phrase != before:
        before = phrase
        if not _BALANCED.fullmatch(phrase):
            phrase = phrase.translate(_BRACKETS)
        phrase = " ".join(_INNER.sub("/" if "(" in phrase else " ", phrase.replace("**", "")).split())
        phrase = _without_bullet(phrase).removeprefix("and ").strip(" /*_`[]{}").rstrip(".:")
        if len(phrase) > 1 and phrase[0] == phrase[-1] and phrase[0] in "\"'":
            phrase = phrase[1:-1]
    return phrase


def _cut(phrase: str) -> str:
    """Cut a phrase to :data:`PHRASE_LENGTH` characters, at a word if it has one there."""
    if len(phrase) <= PHRASE_LENGTH:
        return phrase
    head = phrase[: PHRASE_LENGTH + 1].rpartition(" ")[0]
    return head or phrase[:PHRASE_LENGTH]
