"""`lecdsr results`: write the results page of the experiments and the comparisons that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lecdsr.ask.settings import Settings as Ask
from lecdsr.candidates.settings import Settings as Candidates
from lecdsr.config.load import PAIRS, load_block, load_pair
from lecdsr.core.console import say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, write_text
from lecdsr.core.paths import Artefacts
from lecdsr.embed.settings import Settings as Embed
from lecdsr.experiments.comparisons import with_comparisons
from lecdsr.experiments.config import load_experiments
from lecdsr.experiments.fingerprint import hash_of_code
from lecdsr.experiments.records import COLUMNS, SLICE_COLUMNS, controls_file, read_rows
from lecdsr.models.registry import model_names
from lecdsr.report.claim_charts import charts
from lecdsr.report.draw import to_svg_file
from lecdsr.report.peers import peers_section, read_peers
from lecdsr.report.recorded import PairFacts, Recorded, is_older, pair_twins
from lecdsr.report.results_page import page
from lecdsr.sequences.settings import Settings as Sequences

PAGE = Path("docs") / "results.md"
IMAGES = Path("docs") / "images"
#: Beginning of the names of the charts' files.
CHART = "results-"


def write_results(pairs: Sequence[str]) -> None:
    """Compare methods that are not compared yet, draw the charts, and write the results page.

    Raises:
        UserError: a pair or its experiments cannot be read, or a pair has none.
    """
    read = [recorded(Artefacts(pair)) for pair in dict.fromkeys(pairs)]
    for one in read:
        _require_runs(one)
    found = [with_comparisons(one) for one in pair_twins(read)]
    for one in read:
        _warn_of_older(one)
    drawn = {f"{CHART}{plot.name}.svg": plot for plot in charts(found)}
    for path in set(IMAGES.glob(f"{CHART}*.svg")) - {IMAGES / name for name in drawn}:
        path.unlink()
    for name, plot in drawn.items():
        write_text(IMAGES / name, to_svg_file(plot))
    others = sorted({path.stem for path in PAIRS.glob("*.yaml")} - set(pairs))
    images = {f"{IMAGES.name}/{name}": plot for name, plot in drawn.items()}
    write_text(PAGE, page(found, others=others, images=images, sections=_peers(pairs)))
    say(f"page: {PAGE}")


def _peers(pairs: Sequence[str]) -> list[str]:
    """Write the section on models that others wrote, for each pair with records of them."""
    found = (
        peers_section(Artefacts(pair), load_pair(pair).domains, f"## Peers on {pair}") for pair in dict.fromkeys(pairs)
    )
    return [section for section in found if section]


def recorded(artefacts: Artefacts) -> Recorded:
    """Read the recorded experiments of a pair.

    Raises:
        UserError: the pair or its experiments cannot be read.
    """
    rows = read_rows(artefacts.experiments, COLUMNS)
    return Recorded(
        _facts(artefacts.pair),
        load_experiments(artefacts.pair),
        rows,
        read_rows(artefacts.experiment_slices, SLICE_COLUMNS),
        _stored(artefacts.experiment_tests),
        _stored(controls_file(artefacts)),
        {model: hash_of_code(model) for model in sorted({row["model"] for row in rows} & set(model_names()))},
        peers=read_peers(artefacts) or (),
    )


def _require_runs(one: Recorded) -> None:
    if not one.rows:
        pair = one.facts.pair
        raise UserError(
            f"no experiment of the pair {pair!r} is recorded",
            where=str(Artefacts(pair).experiments),
            do=f"run `lecdsr tune --pair {pair}`, or name pairs that have records",
            code="no-runs",
        )


def _facts(pair: str) -> PairFacts:
    embed, ask = load_block("embed", Embed, pair), load_block("ask", Ask, pair)
    tables = [table for table in (ask.items, ask.profiles) if table is not None]
    writers = ((table.written_by, table.written_on) for table in tables if table.written_by)
    return PairFacts(
        pair,
        load_pair(pair).domains,
        load_block("sequences", Sequences, pair).split,
        load_block("candidates", Candidates, pair).negatives,
        tuple(dict.fromkeys(part for view in embed.item_views for part in view)),
        tuple([embed.encoder] if isinstance(embed.encoder, str) else embed.encoder),
        tuple(dict.fromkeys((str(who), when or "an unknown date") for who, when in writers)),
    )


def _stored(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None


def _warn_of_older(one: Recorded) -> None:
    older = [row for row in one.rows if is_older(row, one)]
    if older:
        methods = ", ".join(dict.fromkeys(row["method"] for row in older))
        warn(
            f"{one.facts.pair}: {len(older)} of {len(one.rows)} recorded runs are of older code ({methods}); "
            f"`lecdsr tune --pair {one.facts.pair}` runs them again"
        )
