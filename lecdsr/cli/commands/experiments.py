"""Definition of the commands that compare methods: `compare`, `tune`, `results`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from lecdsr.cli.commands.options import Split

app = typer.Typer()


class Protocol(enum.StrEnum):
    """Protocols of a comparison: full ranking, sampled ranking, or both."""

    full = "full"
    sampled = "sampled"
    both = "both"


class Slices(enum.StrEnum):
    """Kinds of slices of a comparison."""

    training = "training"
    history = "history"
    ties = "ties"


class Format(enum.StrEnum):
    """Output formats of a comparison."""

    text = "text"
    md = "md"
    json = "json"


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="First method: [LABEL=]SOURCE[,SOURCE…], one source for each seed.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Second method, written the same way.")],
    pair: Annotated[str | None, typer.Option(help="Name of the domain pair; default the only active one.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model of revisions given without one; may be repeated.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Targets to compare on.")] = Split.test,
    protocol: Annotated[Protocol, typer.Option(help="Full ranking, sampled ranking, or both.")] = Protocol.both,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metric to compare; may be repeated. Default ndcg@10 and hr@10.")
    ] = None,
    slices: Annotated[
        list[Slices] | None,
        typer.Option(
            "--slice",
            help="Also compare by slice: by `training` interactions of the target's item, by the user's `history` in "
            "the target's domain, by `ties` of days. May be repeated; every row counts in the correction.",
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the users.")] = 10_000,
    form: Annotated[Format, typer.Option("--format", help="Table for the terminal, Markdown, or JSON.")] = Format.text,
) -> None:
    """Test which of two methods is better, by how much, and whether the difference is significant.

    A SOURCE is one of

    * `sasrec`: a model of the pair, with its ranks in data/PAIR/ranks
    * `wider:sasrec`: a model of a DVC experiment, commit, branch or tag
    * `wider`: the same, for every model that both sides have, or for those of --model
    * `some/ranks.parquet`, or `some/folder/` with one rank file for each seed

    Examples:

    * `lecdsr compare sasrec lecdsr`: two models of the workspace
    * `lecdsr compare main wider`: the effect of an experiment
    * `lecdsr compare text=t1:sasrec,t2:sasrec,t3:sasrec ids=i1:sasrec,i2:sasrec,i3:sasrec`: three seeds each
    * `lecdsr compare sasrec lecdsr --slice training --protocol full --format md`

    Tests are paired by user and corrected (Holm) for all rows of the call: docs/evaluation.md. Warnings go to
    standard error. Paths are relative to the root of the repository.
    """
    from lecdsr.cli.compare import show_comparison

    parts = [part.value for part in slices or []]
    show_comparison(a, b, pair, model or [], split.value, protocol.value, metric or [], parts, resamples, form.value)


@app.command()
def tune(
    pair: Annotated[str, typer.Option(help="Name of a domain pair that `dvc repro` has built.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="Method of experiments.yaml, repeatable, run in the given order; default all."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; each gets its share of the processors.")] = 1,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many of the declared seeds to run now, the first ones; default all.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Make every run in the folder DIR/NAME, without DVC and Git, and record those in DIR."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Start no run after this time; runs under way are finished.")
    ] = None,
    record_only: Annotated[
        bool, typer.Option("--record-only", help="Start no run: record finished ones and say how many are missing.")
    ] = False,
) -> None:
    """Run the experiments that experiments.yaml declares, and write metrics/PAIR/experiments.csv.

    Every method tries the same number of settings under one seed, and the best on validation is chosen. The chosen
    setting runs under every seed, its controls under `control_seeds` of them. Each run is a DVC experiment (`dvc
    exp show -A`) in a clone under .experiments, so that the working tree stays free. The command can be killed and
    repeated: finished runs are not run again unless their settings, tables or code have changed. A failed run is
    reported; the others continue.

    With --folder, runs need neither DVC nor Git, only the repository and the tables of the pair, so that they can be
    made on another machine and recorded here (docs/evaluation.md).

    Examples:

    * `lecdsr tune --pair demo --jobs 2`: everything
    * `lecdsr tune --pair demo --method sasrec --method sasrec-text`: two methods
    * `lecdsr tune --pair demo --seeds 1`: everything under one seed only
    * `lecdsr tune --pair demo --folder runs --jobs 4 --minutes 50`: in folders, for about an hour
    * `lecdsr tune --pair demo --folder runs --record-only`: record what is in the folder
    """
    from lecdsr.experiments.runner import tune as run_experiments

    run_experiments(pair, method or [], jobs, seeds, folder, minutes, record_only)


@app.command()
def results(
    pair: Annotated[list[str], typer.Option(help="Pair whose experiments are shown; may be repeated.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: repeat one recorded run and compare its figures.")
    ] = False,
    draw: Annotated[int, typer.Option(min=0, help="With --check: seed by which the run is drawn.")] = 1,
) -> None:
    """Write docs/results.md from the recorded experiments: sentences to quote, charts, and tables.

    Reads metrics/PAIR/experiments.csv and the other records that `lecdsr tune` writes and Git keeps. Comparisons are
    recomputed if their runs changed, and kept in Git too. Warns of runs of older code.

    With --check, one run of the present code is drawn and repeated in a folder of its own, which needs the tables of
    its pair. On the same device, processor, number of threads and version of PyTorch every figure must be equal;
    elsewhere it may differ by four standard deviations over the seeds of the method (10 % of it for one seed).

    Examples:

    * `lecdsr results --pair food_kitchen --pair food_kitchen_temporal`: the page
    * `lecdsr results --pair food_kitchen --check --draw 7`: repeat a run
    """
    if check:
        from lecdsr.experiments.repeat import check_results

        check_results(pair, draw)
        return
    from lecdsr.experiments.results import write_results

    write_results(pair)
