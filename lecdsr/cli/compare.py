"""`lecdsr compare`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

import numpy as np
import typer

from lecdsr.config.load import load_pair, load_selection
from lecdsr.core.console import console, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import SPLITS
from lecdsr.evaluate.compare import METRICS, PROTOCOLS, Contest, Options, Side, compare
from lecdsr.evaluate.compare_tables import legend, to_json, to_markdown, to_tables, verdicts
from lecdsr.evaluate.metrics import per_target
from lecdsr.evaluate.targets import knows_history
from lecdsr.experiments.sources import Library, Named, check_basis, pairings, parse


def show_comparison(
    a: str,
    b: str,
    pair: str | None,
    models: Sequence[str],
    split: str,
    protocol: str,
    metrics: Sequence[str],
    slices: Sequence[str],
    resamples: int,
    form: str,
) -> None:
    """Compare two sides and print the result in one of three forms.

    Raises:
        UserError: a side cannot be found or read, or the two cannot be compared.
    """
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    options = Options(SPLITS.index(split), protocols, _known(metrics), tuple(dict.fromkeys(slices)), resamples)
    artefacts = Artefacts(pair or _only_pair())
    load_pair(artefacts.pair)
    with Library(artefacts) as library:
        found = pairings(parse(a, artefacts), parse(b, artefacts), models, library)
        contests = _without_equals([_contest(one, other, library, protocols, slices) for one, other in found])
    rows = compare(contests, options)
    if form == "json":
        typer.echo(json.dumps({"pair": artefacts.pair, **to_json(contests, rows, options)}, indent=2, allow_nan=False))
    elif form == "md":
        typer.echo(to_markdown(contests, rows, options), nl=False)
    else:
        for table in to_tables(contests, rows, options):
            console.print(table)
        say(legend(rows))
        for sentence in verdicts(contests, rows):
            say(sentence)


def _known(metrics: Sequence[str]) -> tuple[str, ...]:
    names = list(per_target(np.ones(1)))
    for metric in metrics:
        if metric not in names:
            near = difflib.get_close_matches(metric.lower(), names, n=1)
            guess = f"did you mean {near[0]}? There are " if near else "use "
            raise UserError(f"there is no metric {metric!r}", where="--metric", do=guess + ", ".join(names))
    return tuple(dict.fromkeys(metrics)) or METRICS


def _only_pair() -> str:
    active, _ = load_selection()
    if len(active) > 1:
        raise UserError("several pairs are active", where="params.yaml: active", do=f"add --pair {active[0]}")
    return active[0]


def _contest(a: Named, b: Named, library: Library, protocols: Sequence[str], slices: Sequence[str] = ()) -> Contest:
    sides = []
    for side in (a, b):
        tables = [library.ranks(source) for source in side.sources]
        names = [str(source) for source in side.sources]
        for place, table in enumerate(tables):
            if any(table.equals(other) for other in tables[:place]):
                warn(f"{names[place]} has the ranks of another seed of {side.label}: no seed of its own")
        sides.append(Side(side.label, names, tables))
    sources = [*a.sources, *b.sources]
    unknown = check_basis([(str(source), library.basis(source)) for source in sources], protocols)
    if unknown:
        warn(f"not known, and not checked, which negatives and rules these rest on: {', '.join(unknown)}")
    if "history" in slices and any(not knows_history(table) for side in sides for table in side.ranks):
        warn("ranks of an earlier version do not know the history of a domain; those slices are left out")
    return Contest(*sides)


def _without_equals(contests: Sequence[Contest]) -> list[Contest]:
    """Models that a change did not touch say nothing, and would weigh on the correction of the others."""
    equal = [contest for contest in contests if _same(contest)]
    if not equal or len(equal) == len(contests):
        return list(contests)
    for contest in equal:
        warn(f"{contest.a.name} and {contest.b.name} have the same ranks; left out")
    return [contest for contest in contests if not _same(contest)]


def _same(contest: Contest) -> bool:
    a, b = contest.a.ranks, contest.b.ranks
    return len(a) == len(b) and all(one.equals(other) for one, other in zip(a, b, strict=True))
