"""`lecdsr compare`: compare two methods and print the result."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import typer

from lecdsr.config.load import load_pair, load_selection
from lecdsr.core.console import console, say, warn
from lecdsr.core.errors import UserError, did_you_mean
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import SPLITS
from lecdsr.evaluate.compare import METRICS, PROTOCOLS, Comparison, Options, Side, compare
from lecdsr.evaluate.compare_tables import conclusions, legend, to_json, to_markdown, to_tables
from lecdsr.evaluate.metrics import per_target
from lecdsr.evaluate.targets import knows_history
from lecdsr.experiments.sources import MethodSources, RankReader, check_provenance, pair_sides, parse_side


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
    """Compare two methods and print the result as a table, as Markdown or as JSON.

    Raises:
        UserError: a side cannot be found or read, or the two cannot be compared.
    """
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    options = Options(SPLITS.index(split), protocols, _known(metrics), tuple(dict.fromkeys(slices)), resamples)
    artefacts = Artefacts(pair or _only_pair())
    load_pair(artefacts.pair)
    with RankReader(artefacts) as reader:
        found = pair_sides(parse_side(a, artefacts), parse_side(b, artefacts), models, reader)
        comparisons = _drop_equal_ranks(
            [_make_comparison(one, other, reader, protocols, slices) for one, other in found]
        )
    rows = compare(comparisons, options)
    if form == "json":
        typer.echo(
            json.dumps({"pair": artefacts.pair, **to_json(comparisons, rows, options)}, indent=2, allow_nan=False)
        )
    elif form == "md":
        typer.echo(to_markdown(comparisons, rows, options), nl=False)
    else:
        for table in to_tables(comparisons, rows, options):
            console.print(table)
        say(legend(rows))
        for sentence in conclusions(comparisons, rows):
            say(sentence)


def _known(metrics: Sequence[str]) -> tuple[str, ...]:
    names = list(per_target(np.ones(1)))
    for metric in metrics:
        if metric not in names:
            what = f"there is no metric {metric!r}{did_you_mean(metric.lower(), names)}"
            raise UserError(what, where="--metric", do=f"use one of {', '.join(names)}", code="unknown-metric")
    return tuple(dict.fromkeys(metrics)) or METRICS


def _only_pair() -> str:
    active, _ = load_selection()
    if len(active) > 1:
        raise UserError(
            f"{len(active)} pairs are active, so the pair must be named",
            where="params.yaml: active",
            do=f"add --pair {active[0]}",
            code="several-pairs",
        )
    return active[0]


def _make_comparison(
    a: MethodSources, b: MethodSources, reader: RankReader, protocols: Sequence[str], slices: Sequence[str] = ()
) -> Comparison:
    sides = []
    for side in (a, b):
        tables = [reader.ranks(source) for source in side.sources]
        names = [str(source) for source in side.sources]
        for place, table in enumerate(tables):
            if any(table.equals(other) for other in tables[:place]):
                warn(f"{names[place]} has the same ranks as another seed of {side.label}, so it adds no seed")
        sides.append(Side(side.label, names, tables))
    sources = [*a.sources, *b.sources]
    unknown = check_provenance([(str(source), reader.provenance(source)) for source in sources], protocols)
    if unknown:
        warn(f"unknown, and therefore not checked: negatives and exclusion rule of {', '.join(unknown)}")
    if "history" in slices and any(not knows_history(table) for side in sides for table in side.ranks):
        warn("ranks of an earlier version lack the history in a domain; those slices are left out")
    return Comparison(*sides)


def _drop_equal_ranks(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Drop comparisons of identical ranks, which carry no information but would count in the correction of p-values."""
    equal = [comparison for comparison in comparisons if _equal_ranks(comparison)]
    if not equal or len(equal) == len(comparisons):
        return list(comparisons)
    for comparison in equal:
        warn(f"{comparison.a.name} and {comparison.b.name} have the same ranks; left out")
    return [comparison for comparison in comparisons if not _equal_ranks(comparison)]


def _equal_ranks(comparison: Comparison) -> bool:
    a, b = comparison.a.ranks, comparison.b.ranks
    return len(a) == len(b) and all(one.equals(other) for one, other in zip(a, b, strict=True))
