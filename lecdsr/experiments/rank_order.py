"""Whether methods stand in the same order wherever they are measured."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from lecdsr.core.markdown import Markdown, table


class Order(NamedTuple):
    """Places of the methods under every measure, how many twos of methods there are, and which of them turn round."""

    table: str
    twos: int
    turned: list[str]


def order(scores: Mapping[str, Mapping[str, float]]) -> Order:
    """The order of methods under several measures.

    Args:
        scores: by measure and method, higher is better; the same methods everywhere. Equals share the better place.
    """
    methods = list(next(iter(scores.values())))
    body: list[list[object]] = []
    for method in methods:
        places = (1 + sum(other > given[method] for other in given.values()) for given in scores.values())
        body.append([method, *places])
    twos = list(itertools.combinations(methods, 2))
    turned = [line for a, b in twos if (line := _turned(a, b, scores))]
    return Order(table(["method", *(Markdown(name) for name in scores)], body), len(twos), turned)


def _turned(a: str, b: str, scores: Mapping[str, Mapping[str, float]]) -> str:
    """In how many measures the one that mostly is above is; nothing if in all."""
    above = sum(given[a] > given[b] for given in scores.values())
    below = sum(given[b] > given[a] for given in scores.values())
    if not (above and below):
        return ""
    upper, lower, count = (a, b, above) if above >= below else (b, a, below)
    return f"`{upper}` is above `{lower}` in {count} of {len(scores)}"
