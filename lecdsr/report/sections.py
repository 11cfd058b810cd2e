"""Sections of the report page: texts, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from lecdsr.ask.prices import read_price
from lecdsr.ask.types import Usage
from lecdsr.report import experiments, figures, guide, tables, trade_offs
from lecdsr.report.disagreement import Disagreement, Example, overlap_tables
from lecdsr.report.draw import Plot
from lecdsr.report.estimates import Estimate, estimates
from lecdsr.report.figures import Curve
from lecdsr.report.tables import Table, Training


class Section(NamedTuple):
    """A section of the page; the tables ``folded`` are collapsed under the line ``fold``."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    fold: str = ""
    folded: Sequence[Table] = ()
    examples: Sequence[Example] = ()


class Measured(NamedTuple):
    """Input of all sections; mappings are by model or by stage."""

    pair: str
    domains: dict[str, str]
    metrics: dict[str, dict[str, Any]]
    ranks: dict[str, pa.Table]
    trained: dict[str, Training]
    curves: dict[str, Curve]
    stages: dict[str, dict[str, Any]]
    card: dict[str, Any] | None
    recorded: experiments.Recorded
    disagreement: Disagreement


def sections(given: Measured, resamples: int) -> list[Section]:
    """Make all sections except the user browser."""
    found = estimates(given.ranks, resamples)
    return [
        _guide(given, resamples),
        _metrics(given, found),
        _beyond(given, found),
        _disagreement(given),
        _slices(given, found),
        _training(given),
        _experiments(given),
        _data(given),
        _llm(given),
        _stages(given),
    ]


def _guide(given: Measured, resamples: int) -> Section:
    tests = guide.paired_tests(given.ranks, resamples)
    text = guide.sentences(tests, list(given.ranks), given.domains)
    tables = guide.pair_tables(tests, given.domains)
    return Section("guide", "Reading guide", text, fold="Paired tests of every two models", folded=tables)


def _metrics(given: Measured, found: Sequence[Estimate]) -> Section:
    text = (
        "Means over users with 95 % bootstrap intervals over users; for few users the interval is too narrow. To "
        "compare two models, use `lecdsr compare`, which pairs them by user. Sampled metrics "
        "are only comparable with the same negatives, and can reverse the order of the full ranking."
    )
    negatives = given.stages["candidates"]["negatives_mean"]
    return Section(
        "metrics",
        "Metrics",
        [text],
        figures.metric_plots(found, given.domains),
        tables.metric_tables(found, given.domains, negatives),
        "Metrics on validation",
        tables.validation_tables(given.metrics, given.domains, negatives),
    )


def _beyond(given: Measured, found: Sequence[Estimate]) -> Section:
    return Section(
        "beyond",
        "Beyond accuracy",
        [trade_offs.TEXT, " ".join(trade_offs.extremes(given.metrics, given.domains))],
        trade_offs.trade_off_plots(found, given.metrics, given.domains),
        trade_offs.beyond_tables(given.metrics, given.domains),
        "What the columns mean",
        [trade_offs.meanings()],
    )


def _disagreement(given: Measured) -> Section:
    found = given.disagreement
    text = [
        "How much the ten best items of two models have in common: the share of items that are in both lists, mean "
        "over the test targets."
    ]
    if found.examples:
        a, b = (listed.model for listed in found.examples[0].listed)
        text.append(
            f"Below are users for whom the lists of the two best models on validation, `{a}` and `{b}`, overlap least; "
            "of equal overlaps those whose target the two rank most differently. They are extremes and no sample."
        )
    tables_ = overlap_tables(found, given.domains)
    return Section("disagreement", "Where models disagree", text, tables=tables_, examples=found.examples)


def _slices(given: Measured, found: Sequence[Estimate]) -> Section:
    text = (
        "Metrics by training interactions of the item, by the user's history in the domain, and by whether the target "
        "is on the same day as the item before it. The number of test targets is in brackets."
    )
    plots = figures.slice_plots(found, given.domains)
    return Section(
        "slices",
        "Slices",
        [text],
        plots,
        fold="Figures as tables",
        folded=tables.slice_tables(found, given.domains),
    )


def _training(given: Measured) -> Section:
    plot = figures.training_plot(given.curves)
    text = [] if plot else ["No model was trained for more than one epoch."]
    return Section("training", "Training", text, [plot] if plot else [], [tables.training_table(given.trained)])


def _experiments(given: Measured) -> Section:
    title, recorded = "Experiments: methods and controls", given.recorded
    if not recorded.runs:
        text = f"None is recorded for this pair. `lecdsr tune --pair {given.pair}` runs those of experiments.yaml"
        return Section("experiments", title, [f"{text} over several seeds. Rebuild this page afterwards."])
    text = (
        "Means and standard deviations over seeds of the runs recorded by `lecdsr tune`; settings were chosen on "
        "validation. A control is a method with one part changed; controls have another colour than methods."
    )
    plots = [*experiments.bar_plots(recorded, given.domains), *experiments.slice_plots(recorded, given.domains)]
    return Section(
        "experiments",
        title,
        [text],
        plots,
        fold="Figures as a table",
        folded=[tables.experiment_table(recorded, given.domains)],
    )


def _data(given: Measured) -> Section:
    text = f"The main figures of the data card. The complete card is `data/{given.pair}/card/card.md`."
    return Section("data", "Data", [text], figures.card_plots(given.card), tables.card_tables(given.card))


def _llm(given: Measured) -> Section:
    table = tables.fact_table("answers used, whichever run paid for them", llm_facts(given.stages["ask"]))
    return Section("llm", "Cost of the language model", tables=[table])


def _stages(given: Measured) -> Section:
    facts = [tables.fact_table(*one) for one in given.stages.items()]
    return Section("stages", "Metrics of the stages", fold="One table per stage", folded=facts)


def plots_of(found: Sequence[Section]) -> list[Plot]:
    """List all figures of the page."""
    return [plot for section in found for plot in section.plots]


OFFLINE_PROVIDER = "offline"


def llm_facts(ask: Mapping[str, Any]) -> dict[str, object]:
    """Return the questions, answers, tokens and estimated cost of the language model, by label."""
    facts: dict[str, object] = {
        "provider": ask["provider"],
        "model": ask["model"],
        "questions": ask["questions"],
        "answered": ask["answered"],
        "failed": ask["failed"],
        "tokens of the questions": ask["prompt_tokens"],
        "tokens of the answers": ask["completion_tokens"],
    }
    if ask["provider"] == OFFLINE_PROVIDER:
        return facts | {"cost": "none: texts were written by rules, without a language model"}
    return facts | {"cost": _llm_cost(ask)}


def _llm_cost(ask: Mapping[str, Any]) -> str:
    # Use only the package's own table, because the page must not depend on the environment.
    price = read_price(str(ask["model"]), {})
    if price is None:
        return f"no price known for {ask['model']}"
    usage = Usage(int(ask["prompt_tokens"]), int(ask["completion_tokens"]))
    one, batched = price.of(usage), price.batched().of(usage)
    return f"{one:.2f} USD asked one by one, {batched:.2f} USD by batch, at prices of {price.as_of} (estimate)"
