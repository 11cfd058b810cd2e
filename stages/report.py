"""Put metrics, training curves, slices, experiments, the data card and a browser of users on one page.

Reads the metrics, ranks, lists and trained models of a pair, its data card and its recorded experiments. Writes
data/PAIR/report.html, a self-contained file, and the same figures as PNG to data/PAIR/figures.
"""

import csv
from pathlib import Path

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import console, say
from lecdsr.core.files import atomic_path, read_json, read_table, require, write_text
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS, LISTS, RANKS, TEST, WINDOWS
from lecdsr.core.stage import run_stage
from lecdsr.data.sequences import from_tables
from lecdsr.evaluate.metrics import MONITOR
from lecdsr.evaluate.metrics_table import metrics_table
from lecdsr.recommend.recommender import PairRecommender, best_model, open_recommender
from lecdsr.report.disagreement import Names, best_on_validation, disagreement
from lecdsr.report.draw import Plot, to_png
from lecdsr.report.experiments import read
from lecdsr.report.figures import Curve
from lecdsr.report.html import Browser, Content, render
from lecdsr.report.sections import Measured, plots_of, sections
from lecdsr.report.settings import Settings
from lecdsr.report.tables import Training
from lecdsr.report.users import Wanted, browse

STAGES = ("sequences", "candidates", "prompts", "ask", "embed")


def curve(log: Path) -> Curve:
    """Read the validation score by epoch from a training log."""
    with open(require(log), encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return Curve([int(row["epoch"]) for row in rows], [float(row[f"valid_{MONITOR}"]) for row in rows])


def measured(
    artefacts: Artefacts, domains: tuple[str, str], models: list[str], recommender: PairRecommender
) -> Measured:
    """Read everything that the sections of the page show."""
    curves = {model: curve(artefacts.training_log(model)) for model in models}
    metrics = {model: read_json(artefacts.model_metrics(model)) for model in models}
    ranks = {model: read_table(artefacts.ranks(model), RANKS) for model in models}
    return Measured(
        pair=artefacts.pair,
        domains=dict(zip(DOMAINS, domains, strict=True)),
        metrics=metrics,
        ranks=ranks,
        trained={
            model: Training(
                read_json(artefacts.model(model) / "config.json"),
                read_json(artefacts.times(model)),
                curves[model].epochs[-1],
            )
            for model in models
        },
        curves=curves,
        stages={stage: read_json(artefacts.stage_metrics(stage)) for stage in STAGES},
        card=read_json(artefacts.card / "card.json"),
        recorded=read(artefacts.experiments, artefacts.experiment_slices),
        disagreement=disagreement(
            {model: read_table(artefacts.lists(model), LISTS) for model in models},
            ranks,
            best_on_validation(metrics),
            from_tables(recommender.interactions, read_table(artefacts.windows, WINDOWS)).of_split(TEST),
            Names(recommender.items, recommender.users),
        ),
    )


def browser(artefacts: Artefacts, settings: Settings, best: str, recommender: PairRecommender) -> Browser:
    """Collect what the best model recommends to some users."""
    windows, ranks = read_table(artefacts.windows, WINDOWS), read_table(artefacts.ranks(best), RANKS)
    wanted = Wanted(settings.users, settings.top_k, settings.nearest)
    return Browser(best, browse(recommender, windows, ranks, wanted), len(recommender.users))


def write_figures(folder: Path, plots: list[Plot], dpi: int) -> None:
    """Write every figure as PNG, and delete figures of an earlier run that no longer exist."""
    for plot in plots:
        with atomic_path(folder / f"{plot.name}.png") as temporary:
            temporary.write_bytes(to_png(plot, dpi))
    for old in set(folder.glob("*.png")) - {folder / f"{plot.name}.png" for plot in plots}:
        old.unlink()


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("report"), Settings)
    settings = resolved.settings
    best = best_model(artefacts)
    recommender = open_recommender(artefacts, best)
    given = measured(artefacts, resolved.domains, resolved.models, recommender)
    found = sections(given, settings.resamples)
    write_figures(artefacts.root / "figures", plots_of(found), settings.figure_dpi)
    shown = browser(artefacts, settings, best, recommender)
    write_text(artefacts.report, render(Content(pair, given.domains, resolved.synthetic, found, shown)))
    console.print(metrics_table(f"Test metrics on {pair}", given.metrics))
    say(f"figures: {artefacts.root / 'figures'}")
    say(f"report: {artefacts.report}")


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
