"""Rule-based writer: composes texts from facts offline, without a language model.

It replaces the language model where no server is available. A sentence encoder embeds the texts, so they contain the
informative words: specific categories, words that recur in titles, the latest titles. As next purchases of a user it
names the kinds of products that they buy most and last.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lecdsr.ask.types import Answer, Outcome, Question
from lecdsr.prompts.profile import Profile, format_profile

WORDS = 60
#: Kinds of products that a profile names per domain, and words of a kind that is taken from a title.
KINDS = 6
_TITLE_WORDS = 4
_DECAY = 0.9  # weight of an interaction relative to the next later one, so that recent ones count more

_WORD = re.compile(r"[^\W\d_][\w'’-]*[^\W_]")
# Stop words of product texts: grammar, packaging, and praise.
_COMMON = frozenset(
    _WORD.findall(
        """about all also an and any are as at be best by can case count ct each every extra fl for free from
        great has have high in inch inches is it its kg large lb lbs made medium ml more new no not of off on
        one only or ounce ounces our oz pack packs packaging pc pcs per perfect piece pieces premium product
        products quality set size small so style than that the their them these this three to two untitled up
        use used very was we which will with you your"""
    )
)


class OfflineWriter:
    """Provider that writes texts by rules; the same facts always give the same text.

    Args:
        lists: also list the kinds that a user is likely to need next.
    """

    name = "offline"
    title = "offline rule-based writer"
    spent = 0.0

    def __init__(self, lists: bool = True) -> None:
        self._write_profile = write_profile if lists else describe_customer

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Yield every question with a description, or a profile, of which the portrait has at most sixty words."""
        for question in questions:
            facts = json.loads(question.facts)
            text = self._write_profile(facts) if question.kind == "user" else describe_item(facts)
            yield [(question, Answer(text))]


def write_profile(history: Sequence[dict[str, Any]]) -> str:
    """Write a profile from purchases in time order: a portrait, and likely next kinds of products in each domain."""
    domains = _by_domain(history)
    names = [*domains, "", ""][:2]
    kinds_x, kinds_y = (_next_kinds(domains.get(name, [])) for name in names)
    return format_profile(Profile(describe_customer(history), (kinds_x, kinds_y)), names)


def describe_customer(history: Sequence[dict[str, Any]]) -> str:
    """Write a portrait from purchases in time order: one sentence per domain, the latest domain first."""
    domains = _by_domain(history)
    most = WORDS // max(1, len(domains))
    return " ".join(_domain_sentence(domain, latest_first, most) for domain, latest_first in domains.items())


def describe_item(facts: dict[str, Any]) -> str:
    """Write a description from a catalogue entry: title, brand, categories, advertising text."""
    title, brand = facts["title"] or "Untitled product", facts["brand"]
    head = f"{title} by {brand}" if brand and brand.lower() not in title.lower() else title
    parts = [head]
    if facts["categories"]:
        parts.append("Kind: " + ", ".join(reversed(facts["categories"])))
    if facts["description"]:
        parts.append(facts["description"])
    return _limit(". ".join(part.rstrip(" .…") for part in parts), WORDS) + "."


def _by_domain(history: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group purchases by domain, the latest first."""
    domains: dict[str, list[dict[str, Any]]] = {}
    for item in reversed(history):
        domains.setdefault(item["domain"], []).append(item)
    return domains


def _next_kinds(latest_first: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Name the kinds with the largest weights, with the brand where all purchases of the kind are of one brand."""
    kinds = [_kind(item) for item in latest_first]
    brands: dict[str, set[str]] = defaultdict(set)
    for item, kind in zip(latest_first, kinds, strict=True):
        brands[kind.lower()].add(" ".join(item["brand"].replace(",", " ").split()))
    phrases = []
    for kind in _ranked(([kind] for kind in kinds if kind), KINDS):
        own = next(iter(brands[kind.lower()])) if len(brands[kind.lower()]) == 1 else ""
        phrases.append(f"{own} {kind}" if own and own.lower() not in kind.lower() else kind)
    return tuple(phrases)


def _kind(item: dict[str, Any]) -> str:
    """Return the most specific category, or else the first informative words of the title."""
    categories = _special_first(item["categories"])
    if categories:
        return " ".join(categories[0].replace(",", " ").replace(";", " ").split())
    head = {**item, "title": item["title"].partition(",")[0]}
    return " ".join(_title_words(head, ())[:_TITLE_WORDS])


def _domain_sentence(domain: str, latest_first: Sequence[dict[str, Any]], most: int) -> str:
    kinds = _ranked((_special_first(item["categories"]) for item in latest_first), 3)
    brands = _ranked(([item["brand"]] for item in latest_first if item["brand"]), 2)
    latest = _limit(" ".join(_title_words(latest_first[0], ())), 7)
    seen = _words_of([*kinds, *brands, latest])
    themes = _ranked((_title_words(item, seen) for item in latest_first), 12)
    clauses = [
        f"buys {_listed(kinds)}" if kinds else "buys products of many kinds",
        f"latest {latest}" if latest else "",
        f"by {_listed(brands)}" if brands else "",
        f"themes {' '.join(themes)}" if themes else "",
    ]
    return _limit(f"In {domain}: " + "; ".join(clause for clause in clauses if clause), most) + "."


def _special_first(categories: Sequence[str]) -> Sequence[str]:
    """Order categories from specific to general, without the one that all items of a domain share."""
    return categories[:0:-1] or categories


def _ranked(groups: Iterable[Iterable[str]], most: int) -> list[str]:
    """Return the strings with the largest weights, ignoring case; earlier groups and earlier strings win ties."""
    weight: dict[str, float] = defaultdict(float)
    spelling: dict[str, str] = {}
    for age, group in enumerate(groups):
        for text in group:
            weight[text.lower()] += _DECAY**age
            spelling.setdefault(text.lower(), text)
    order = sorted(weight, key=lambda text: -weight[text])
    return [spelling[text] for text in order[:most]]


def _title_words(item: dict[str, Any], without: Iterable[str]) -> list[str]:
    """Return the informative words of a title, each once, in order."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(item["title"]))
    return [word for word in words if word not in _COMMON and word not in without]


def _words_of(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word.lower() for text in texts for word in _WORD.findall(text))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _limit(text: str, most: int) -> str:
    return " ".join(text.split()[:most]).rstrip(" ,;:.…")
