"""The reading guide of the report: which model is better in each domain, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import combinations
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.schemas import TEST
from lecdsr.evaluate.compare import Comparison, Options, Row, Side, compare
from lecdsr.evaluate.significance import LEVEL
from lecdsr.report.estimates import MAIN
from lecdsr.report.tables import NONE, Cell, Table

Domains = Mapping[str, str]


#: Outcomes of a test of the leading model and another one, as the sentences name them.
BETTER, UNSURE, LEVEL_WITH = "better than", "not surely better than", "level with"


class Against(NamedTuple):
    """The leading model compared with another one: the difference with its interval, and the outcome."""

    model: str
    difference: float
    low: float | None
    high: float | None
    outcome: str


class PairedTests(NamedTuple):
    """Paired tests of every two models: their names by comparison, and one row per comparison and domain."""

    pairs: list[tuple[str, str]]
    rows: list[Row]


def paired_tests(ranks: Mapping[str, pa.Table], resamples: int) -> PairedTests:
    """Test NDCG@10 in full ranking of every two models, with all tests corrected together.

    Every two models are tested, and not the best one with the others only, so that the correction also counts that the
    best one was chosen by the same figures.

    Raises:
        UserError: two models rank different targets.
    """
    some = {model: table for model, table in ranks.items() if pc.any(pc.equal(table["split"], TEST)).as_py()}
    pairs = list(combinations(some, 2))
    sides = {model: Side(model, [model], [table]) for model, table in ranks.items()}
    options = Options(TEST, ("full",), (MAIN,), resamples=resamples)
    found = compare([Comparison(sides[a], sides[b]) for a, b in pairs], options) if pairs else []
    return PairedTests(pairs, found)


def sentences(tests: PairedTests, models: Sequence[str], domains: Domains) -> list[str]:
    """Write one sentence for each domain and one on how sure they are."""
    if len(models) < 2:
        return ["Two models are needed for a comparison."]
    if not tests.rows:
        return ["There are no test targets to compare the models on."]
    found = {name: leader(tests, key) for key, name in domains.items() if any(row.domain == key for row in tests.rows)}
    outcomes = {one.outcome for *_, others in found.values() for one in others}
    count = sum(row.paired.p is not None for row in tests.rows)
    return [*(_sentence(name, *one) for name, one in found.items()), _certainty(outcomes, count)]


def pair_tables(tests: PairedTests, domains: Domains) -> list[Table]:
    """Tabulate the paired tests, one table per domain."""
    tables = []
    for key, name in domains.items():
        rows = [
            [
                Cell(f"{a} − {b}"),
                Cell(f"{row.users:,}"),
                _difference(row),
                Cell(_p(row.p_holm)),
                Cell(_conclusion(row, a, b)),
            ]
            for row in tests.rows
            if row.domain == key
            for a, b in [tests.pairs[row.comparison]]
        ]
        if rows:
            head = ("models", "users", f"difference of {MAIN}", "Holm p", "conclusion")
            tables.append(Table(f"paired tests, {name}, full ranking", head, rows))
    return tables


def leader(tests: PairedTests, domain: str) -> tuple[str, float, list[Against]]:
    """Return the model with the best mean in a domain, its mean, and the others, the closest first."""
    rows = [(*tests.pairs[row.comparison], row) for row in tests.rows if row.domain == domain]
    means = {name: mean.mean for a, b, row in rows for name, mean in ((a, row.a), (b, row.b))}
    best = max(means, key=means.__getitem__)
    others = [_against(row, b if a == best else a, a == best) for a, b, row in rows if best in (a, b)]
    return best, means[best], sorted(others, key=lambda one: one.difference)


def _against(row: Row, other: str, first: bool) -> Against:
    """Turn a row round if the leading model is B."""
    found = row.paired
    low, high = (
        (found.low, found.high) if first or found.low is None or found.high is None else (-found.high, -found.low)
    )
    return Against(other, found.difference if first else -found.difference, low, high, outcome(row))


def outcome(row: Row) -> str:
    """Name the outcome of a test: level if the interval includes zero, unsure if the corrected p-value is too large."""
    low, high = row.paired.low, row.paired.high
    if low is None or high is None or low <= 0 <= high:
        return LEVEL_WITH
    return BETTER if row.better else UNSURE


def _sentence(name: str, best: str, mean: float, others: Sequence[Against]) -> str:
    groups = {kind: [one for one in others if one.outcome == kind] for kind in (BETTER, UNSURE, LEVEL_WITH)}
    told = [f"{kind} {_listed(some)}" for kind, some in groups.items() if some]
    return f"In {name}, `{best}` has the highest {MAIN.upper()} in full ranking, {mean:.4f}: {'; '.join(told)}."


def _listed(some: Sequence[Against]) -> str:
    """Name the models, with the difference to the closest one."""
    first, *rest = (f"`{one.model}`" for one in some)
    names = [f"{first} ({_by(some[0])})", *rest]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _by(one: Against) -> str:
    interval = (
        "" if one.low is None or one.high is None else f", 95 % interval {_signed(one.low)} to {_signed(one.high)}"
    )
    return f"difference {_signed(one.difference)}{interval}"


def _certainty(outcomes: Set[str], tests: int) -> str:
    """Say what the words of the other sentences mean, and what they do not tell."""
    meanings = {
        BETTER: f"better means that Holm p is at most {LEVEL} for {tests} tests together",
        UNSURE: f"not surely better means that the interval excludes 0 but Holm p is above {LEVEL}",
        LEVEL_WITH: "level means that the interval includes 0, so that the data do not tell which model is better",
    }
    told = [text for kind, text in meanings.items() if kind in outcomes]
    text = "; ".join([*told, "each model was trained once, so nothing here says what another seed would change"])
    return f"{text[0].upper()}{text[1:]}."


def _difference(row: Row) -> Cell:
    found = row.paired
    interval = "" if found.low is None or found.high is None else f"{_signed(found.low)} to {_signed(found.high)}"
    return Cell(_signed(found.difference), interval)


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.4f}" if value >= 0.0001 else "<.0001"


def _conclusion(row: Row, a: str, b: str) -> str:
    if outcome(row) == BETTER:
        return f"{a if row.better == 'a' else b} is better"
    return "level" if outcome(row) == LEVEL_WITH else "not sure"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
