"""Where models disagree: how much their lists overlap, and users for whom two models have the least in common.

Shape legend: T test targets, k items of a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray
from lecdsr.core.schemas import DOMAINS, TEST
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.lists import NONE, Lists, to_array
from lecdsr.evaluate.metrics import MONITOR
from lecdsr.report.tables import NONE as DASH
from lecdsr.report.tables import Cell, Table

Domains = Mapping[str, str]

#: Users shown for each domain, items of their histories and of each list.
USERS, HISTORY, SHOWN = 2, 5, 5
#: Lists compared at once, to bound memory.
BLOCK = 65_536


class Listed(NamedTuple):
    """What one model recommends to a user: titles with whether each is the target, and the rank of the target."""

    model: str
    titles: list[tuple[str, bool]]
    rank: float

    @property
    def shown_rank(self) -> str:
        """The rank as the page shows it; that of tied scores is their mean rank, which may end in a half."""
        return f"{self.rank:,.1f}".removesuffix(".0")


class Example(NamedTuple):
    """A user for whom two models disagree: the latest items, the target, and how many items both lists have."""

    user: str
    domain: str
    history: list[str]
    target: str
    common: int
    listed: tuple[Listed, Listed]


class Disagreement(NamedTuple):
    """Mean overlap of the lists of every two models by domain, and users on whom the two best models disagree."""

    overlap: dict[str, dict[tuple[str, str], float]]
    examples: list[Example]


class Ranked(NamedTuple):
    """A model with its lists ``[T, k]`` and its ranks ``[T]`` of the targets in full ranking."""

    model: str
    lists: Lists
    ranks: NDArray[np.float32]


class Names(NamedTuple):
    """Tables ``ITEMS`` and ``USERS``, from which examples are written."""

    items: pa.Table
    users: pa.Table


def disagreement(
    lists: Mapping[str, pa.Table],
    ranks: Mapping[str, pa.Table],
    best: Sequence[str],
    targets: Sequences,
    names: Names,
) -> Disagreement:
    """Compare the lists of all models.

    Args:
        lists: table ``LISTS`` of each model.
        ranks: table ``RANKS`` of each model.
        best: models, the best on validation first; examples are of the first two.
        targets: the test windows, in the order of the lists.
        names: what examples are written from.
    """
    items = {model: to_array(table) for model, table in lists.items()}
    domain = (targets.target >= _n_x(names.items)).astype(np.int64)
    overlap = mean_overlaps(items, domain)
    if len(best) < 2:
        return Disagreement(overlap, [])
    first, second = (Ranked(model, items[model], _full_ranks(ranks[model])) for model in best[:2])
    rows = [
        row
        for code in range(len(DOMAINS))
        for row in least_common(first, second, np.flatnonzero(domain == code), targets.user)
    ]
    writer = _Writer(names, targets)
    return Disagreement(overlap, [writer(row, first, second) for row in rows])


def mean_overlaps(lists: Mapping[str, Lists], domain: IntArray) -> dict[str, dict[tuple[str, str], float]]:
    """Average the overlap of the lists of every two models over the targets of each domain.

    Args:
        lists: ``[T, k]`` of each model.
        domain: ``[T]`` domain of each target.
    """
    found: dict[str, dict[tuple[str, str], float]] = {}
    for a, b in combinations(lists, 2):
        shares = overlaps(lists[a], lists[b])
        for code, key in enumerate(DOMAINS):
            if (domain == code).any():
                found.setdefault(key, {})[a, b] = float(shares[domain == code].mean())
    return found


def best_on_validation(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Order models by NDCG@10 on validation in full ranking, mean of the domains, the best first."""
    blocks = {model: facts.get("valid", {}).values() for model, facts in metrics.items()}
    scores = {model: float(np.mean([b["full"][MONITOR] for b in some] or [0.0])) for model, some in blocks.items()}
    return sorted(scores, key=lambda model: -scores[model])


def overlaps(a: Lists, b: Lists) -> NDArray[np.float64]:
    """Compute the items that two lists have in common, divided by the length of the longer one, ``[T]``.

    Two empty lists have the overlap 1.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(a), BLOCK)]
    common = np.concatenate([np.zeros(0), *(_common(a[block], b[block]) for block in blocks)])
    longer = np.maximum((a != NONE).sum(axis=1), (b != NONE).sum(axis=1))
    shares: NDArray[np.float64] = np.divide(common, longer, out=np.ones(len(a)), where=longer > 0)
    return shares


def least_common(a: Ranked, b: Ranked, rows: IntArray, user: IntArray) -> list[int]:
    """Choose the targets whose two lists overlap least, one for each user.

    Of equal overlaps those come first whose target the models rank most differently (ratio of the ranks).

    Args:
        a, b: the two models.
        rows: targets to choose from.
        user: ``[T]`` users.
    """
    shares = overlaps(a.lists[rows], b.lists[rows])
    apart = np.abs(np.log(a.ranks[rows]) - np.log(b.ranks[rows]))
    order = rows[np.lexsort((rows, -apart, shares))]
    _, first = np.unique(user[order], return_index=True)
    return [int(row) for row in order[np.sort(first)[:USERS]]]


def overlap_tables(found: Disagreement, domains: Domains) -> list[Table]:
    """Tabulate the mean overlap of every two models, one table per domain."""
    tables = []
    for key, overlap in found.overlap.items():
        models = list(dict.fromkeys(model for pair in overlap for model in pair))
        both = overlap | {(b, a): share for (a, b), share in overlap.items()}
        rows = [[Cell(a), *(Cell(f"{both[a, b]:.3f}" if a != b else DASH) for b in models)] for a in models]
        tables.append(Table(f"overlap of lists, {domains[key]}", ("model", *models), rows))
    return tables


class _Writer:
    """Writes an example from the row of its target."""

    def __init__(self, names: Names, targets: Sequences) -> None:
        self.names, self.targets = names, targets

    def __call__(self, row: int, a: Ranked, b: Ranked) -> Example:
        targets, target = self.targets, int(self.targets.target[row])
        before = targets.seen_items[targets.seen_start[row] : targets.target_row[row]]
        return Example(
            user=str(self.names.users["reviewer"][int(targets.user[row])].as_py()),
            domain=DOMAINS[int(target >= _n_x(self.names.items))],
            history=[self._title(item) for item in before[::-1][:HISTORY].tolist()],
            target=self._title(target),
            common=len({*_items(a.lists[row])} & {*_items(b.lists[row])}),
            listed=(self._listed(a, row, target), self._listed(b, row, target)),
        )

    def _listed(self, one: Ranked, row: int, target: int) -> Listed:
        titles = [(self._title(item), item == target) for item in _items(one.lists[row])[:SHOWN]]
        return Listed(one.model, titles, float(one.ranks[row]))

    def _title(self, item: int) -> str:
        title, asin = (self.names.items[name][item].as_py() for name in ("title", "asin"))
        return title or f"(no title, {asin})"


def _items(row: NDArray[np.int32]) -> list[int]:
    return [int(item) for item in row if item != NONE]


def _common(a: Lists, b: Lists) -> IntArray:
    """Count the items that two lists have in common, ``[T]``; no item is twice in a list."""
    common: IntArray = ((a[:, :, None] == b[:, None, :]) & (a != NONE)[:, :, None]).sum(axis=(1, 2))
    return common


def _full_ranks(ranks: pa.Table) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ranks.filter(pc.equal(ranks["split"], TEST))["rank_full"].to_numpy()
    return found


def _n_x(items: pa.Table) -> int:
    return int(pc.sum(pc.equal(items["domain"], 0)).as_py() or 0)
