"""`lecdsr results`: the page of the experiments, and the comparisons that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lecdsr.base.console import say, warn
from lecdsr.base.files import read_json, write_json, write_text
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import TEST
from lecdsr.base.settings import load_block, load_pair
from lecdsr.candidates.draw import Settings as Candidates
from lecdsr.cli.sources import Library, Source
from lecdsr.cli.workshop import experiment_names
from lecdsr.compare.comparison import Contest, Options, Side, compare
from lecdsr.compare.show import to_json
from lecdsr.sequences.settings import Settings as Sequences
from lecdsr.study.declared import load_experiments
from lecdsr.study.results import Facts, Recorded, best_arm, compared_runs, page, rivals
from lecdsr.study.rows import COLUMNS, SLICE_COLUMNS, read_rows

PAGE = Path("docs") / "results.md"


def write_results(pairs: Sequence[str]) -> None:
    """Compare what is not compared yet, and write the page.

    Raises:
        UserError: a pair or its experiments cannot be read.
    """
    found = [_with_tests(recorded(Artefacts(pair))) for pair in dict.fromkeys(pairs)]
    write_text(PAGE, page(found))
    say(f"page: {PAGE}")


def recorded(artefacts: Artefacts) -> Recorded:
    """What Git has of a pair's experiments.

    Raises:
        UserError: the pair or its experiments cannot be read.
    """
    pair = artefacts.pair
    facts = Facts(
        pair,
        load_pair(pair).domains,
        load_block("sequences", Sequences, pair).split,
        load_block("candidates", Candidates, pair).negatives,
    )
    tests = read_json(artefacts.experiment_tests) if artefacts.experiment_tests.exists() else None
    rows = read_rows(artefacts.experiments, COLUMNS)
    return Recorded(facts, load_experiments(pair), rows, read_rows(artefacts.experiment_slices, SLICE_COLUMNS), tests)


def _with_tests(one: Recorded) -> Recorded:
    """The same with comparisons of the best arm, made where they are missing and the ranks are here."""
    best = best_arm(one)
    if best is None or not rivals(one, best):
        return one
    names = compared_runs(one, best)
    if one.tests is not None and one.tests["experiments"] == names:
        return one
    lost = {name for some in names.values() for name in some} - experiment_names()
    if lost:
        warn(f"no comparison on {one.facts.pair}: {len(lost)} experiments are not in this clone, such as {min(lost)}")
        return one
    artefacts = Artefacts(one.facts.pair)
    tests = {"best": best, "experiments": names, **_compared(one, artefacts, names, best)}
    write_json(artefacts.experiment_tests, tests)
    return one._replace(tests=tests)


def _compared(one: Recorded, artefacts: Artefacts, names: dict[str, list[str]], best: str) -> dict[str, Any]:
    options = Options(TEST)
    with Library(artefacts) as library:
        sides = {
            arm: Side(arm, some, [library.ranks(Source(None, name, one.declared.arms[arm].model)) for name in some])
            for arm, some in names.items()
        }
    contests = [Contest(sides[best], side) for arm, side in sides.items() if arm != best]
    return to_json(contests, compare(contests, options), options)
