"""`lecdsr results`: write the results page of the experiments and the comparisons that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lecdsr.candidates.settings import Settings as Candidates
from lecdsr.config.load import load_block, load_pair
from lecdsr.core.console import say, warn
from lecdsr.core.files import read_json, read_table, write_json, write_text
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS, TEST
from lecdsr.evaluate.compare import Comparison, Options, Side, compare
from lecdsr.evaluate.compare_tables import to_json
from lecdsr.experiments.config import load_experiments
from lecdsr.experiments.records import COLUMNS, SLICE_COLUMNS, rank_file, read_rows
from lecdsr.report.results_page import (
    PairFacts,
    Recorded,
    best_method,
    compared_runs,
    matches_runs,
    other_methods,
    page,
)
from lecdsr.sequences.settings import Settings as Sequences

PAGE = Path("docs") / "results.md"


def write_results(pairs: Sequence[str]) -> None:
    """Compare methods that are not compared yet, and write the results page.

    Raises:
        UserError: a pair or its experiments cannot be read.
    """
    found = [_with_comparisons(recorded(Artefacts(pair))) for pair in dict.fromkeys(pairs)]
    write_text(PAGE, page(found))
    say(f"page: {PAGE}")


def recorded(artefacts: Artefacts) -> Recorded:
    """Read the recorded experiments of a pair.

    Raises:
        UserError: the pair or its experiments cannot be read.
    """
    pair = artefacts.pair
    facts = PairFacts(
        pair,
        load_pair(pair).domains,
        load_block("sequences", Sequences, pair).split,
        load_block("candidates", Candidates, pair).negatives,
    )
    tests = read_json(artefacts.experiment_tests) if artefacts.experiment_tests.exists() else None
    rows = read_rows(artefacts.experiments, COLUMNS)
    return Recorded(facts, load_experiments(pair), rows, read_rows(artefacts.experiment_slices, SLICE_COLUMNS), tests)


def _with_comparisons(one: Recorded) -> Recorded:
    """Add the comparisons of the best method: stored ones, or new ones if the ranks of more methods are available."""
    best = best_method(one)
    if best is None or not other_methods(one, best):
        return one
    artefacts, names = Artefacts(one.facts.pair), compared_runs(one, best)
    stored = one.tests["experiments"] if one.tests is not None and matches_runs(one.tests, best, names) else {}
    if stored == names:
        return one
    lost = [method for method, some in names.items() if not all(rank_file(artefacts, name).exists() for name in some)]
    here = {method: some for method, some in names.items() if method not in lost}
    if lost:
        warn(
            f"{one.facts.pair}: comparisons are not updated, because {artefacts.experiment_ranks} lacks ranks of "
            f"{', '.join(lost)}; remove their rows from the table and run `lecdsr tune` to make them again"
        )
    if best in lost or len(here) < 2 or not stored.keys() <= here.keys():
        return one
    tests = {"best": best, "experiments": here, **_compared(artefacts, here, best)}
    write_json(artefacts.experiment_tests, tests)
    return one._replace(tests=tests)


def _compared(artefacts: Artefacts, names: dict[str, list[str]], best: str) -> dict[str, Any]:
    options = Options(TEST)
    sides = {
        method: Side(method, some, [read_table(rank_file(artefacts, name), RANKS) for name in some])
        for method, some in names.items()
    }
    comparisons = [Comparison(sides[best], side) for method, side in sides.items() if method != best]
    return to_json(comparisons, compare(comparisons, options), options)
