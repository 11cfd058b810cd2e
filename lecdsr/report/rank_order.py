"""Check whether methods keep the same order under every pair, domain and protocol."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from lecdsr.core.markdown import Markdown, table


class RankOrder(NamedTuple):
    """Ranks of the methods as a table, the number of method pairs, and a line for each pair whose order reverses."""

    table: str
    method_pairs: int
    reversed_pairs: list[str]


def rank_order(scores: Mapping[str, Mapping[str, float]]) -> RankOrder:
    """Compare the order of methods under several measures.

    Args:
        scores: scores by measure and method, higher is better, with the same methods everywhere. Ties share the
            better rank.
    """
    methods = list(next(iter(scores.values())))
    body: list[list[object]] = []
    for method in methods:
        places = (1 + sum(other > given[method] for other in given.values()) for given in scores.values())
        body.append([method, *places])
    method_pairs = list(itertools.combinations(methods, 2))
    reversed_pairs = [line for a, b in method_pairs if (line := _reversal(a, b, scores))]
    return RankOrder(table(["method", *(Markdown(name) for name in scores)], body), len(method_pairs), reversed_pairs)


def _reversal(a: str, b: str, scores: Mapping[str, Mapping[str, float]]) -> str:
    """Describe how often the usually better method is above the other; empty if the order never reverses."""
    above = sum(given[a] > given[b] for given in scores.values())
    below = sum(given[b] > given[a] for given in scores.values())
    if not (above and below):
        return ""
    upper, lower, count = (a, b, above) if above >= below else (b, a, below)
    return f"`{upper}` is above `{lower}` in {count} of {len(scores)}"
