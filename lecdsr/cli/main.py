"""Definition of the commands of ``lecdsr``; the pipeline itself is run by ``dvc repro``."""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lecdsr.cli.answers import app as answers_app
from lecdsr.cli.data import app as data_app
from lecdsr.core.console import console, stderr
from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.threads import prepare_environment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
Cross-domain sequential recommendation with LLM profiles.

The pipeline is run by DVC; these commands show and use its results.

* `dvc repro` builds every pair in `active` (params.yaml), from raw data to report
* `dvc metrics show`, `dvc metrics diff`, `dvc exp run -S 'train.sasrec.width=128'` compare settings
* `lecdsr data list` lists the domains of the Amazon releases with their sizes
* `lecdsr pairs` lists the domain pairs, `lecdsr check` checks every setting
* `lecdsr ask --pair NAME --estimate` estimates the cost of a language model, `lecdsr answers` manages paid answers
* `lecdsr serve-llm` serves a small language model on this machine, without a key
* `lecdsr metrics --pair demo` shows the metrics of all models
* `lecdsr compare sasrec lecdsr` tests which of two methods is better
* `lecdsr tune --pair demo` runs the experiments of experiments.yaml, `lecdsr results --pair demo` writes their page
* `lecdsr recommend --pair demo --user ID` shows a user's history and what a model recommends, `--all` writes it for all
* `lecdsr explain` explains a score, `lecdsr similar ITEM --pair demo` lists similar items
* `lecdsr export` writes a model with its vectors to a folder, `lecdsr serve FOLDER` answers over HTTP from it

Run any command with `--help` for its options. The page Parameters of the documentation lists every setting.
""",
)
app.add_typer(data_app, name="data")
app.add_typer(answers_app, name="answers")

# Commands that work outside a repository.
ANYWHERE = ("data", "serve", "serve-llm")


class Split(enum.StrEnum):
    """Held-out splits of a pair."""

    valid = "valid"
    test = "test"


@app.command()
def pairs() -> None:
    """List the domain pairs, the sources of their data, and whether they are active."""
    from lecdsr.cli.pairs import pairs_table

    console.print(pairs_table())


@app.command()
def check() -> None:
    """Check every key of params.yaml and of all pairs; report the first invalid one."""
    from lecdsr.cli.pairs import check as check_settings

    check_settings()


class Transport(enum.StrEnum):
    """Ways in which questions are sent."""

    sync = "sync"
    batch = "batch"
    files = "files"


@app.command()
def ask(
    pair: Annotated[str, typer.Option(help="Name of the domain pair, as in pairs/NAME.yaml.")],
    estimate: Annotated[bool, typer.Option("--estimate", help="Estimate tokens, cost and time; ask nothing.")] = False,
    transport: Annotated[
        Transport | None, typer.Option(help="One by one (default), through the batch API, or as files.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="US dollars that this run may spend.")] = None,
    max_requests: Annotated[int | None, typer.Option(min=0, help="Requests that this run may send.")] = None,
    rpm: Annotated[float | None, typer.Option(min=1, help="--estimate: your limit of requests per minute.")] = None,
    tpm: Annotated[float | None, typer.Option(min=1, help="--estimate: your limit of tokens per minute.")] = None,
) -> None:
    """Ask the questions of a pair and keep the answers in the answer store, which `dvc repro` reads.

    `dvc repro prompts` writes the questions. Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY.
    If a cap is reached, the command ends with exit code 3; all answers are kept. Prices are in
    lecdsr/ask/prices.csv; LECDSR_LLM_PRICES names a table of your own.
    """
    from lecdsr.cli.ask import ask_pair, show_estimate

    if estimate:
        show_estimate(pair, rpm, tpm)
    else:
        ask_pair(pair, None if transport is None else transport.value, max_cost, max_requests)


PairOption = Annotated[str, typer.Option(help="Name of the domain pair, as in pairs/NAME.yaml.")]
UserOption = Annotated[str | None, typer.Option(help="Reviewer id of a user.")]
HistoryOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ITEMS",
        help="History of an anonymous user, oldest first: ASINs separated by commas, or a title; ITEM@YYYY-MM-DD "
        "gives an item its own day. May be repeated.",
    ),
]
DayOption = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of --history items without their own; default today.")
]
ModelOption = Annotated[str | None, typer.Option(help="Trained model; default the best of the pair on validation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Device(enum.StrEnum):
    """Where a model computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute; `auto` takes a GPU if there is one.")]


class Domains(enum.StrEnum):
    """Choice of one domain, or both."""

    x = "x"
    y = "y"
    both = "both"


@app.command()
def recommend(
    pair: PairOption,
    user: Annotated[
        str | None, typer.Option(help="Reviewer id of a user; without it and --history, a few ids are listed.")
    ] = None,
    history: HistoryOption = None,
    day: DayOption = None,
    domain: Annotated[Domains, typer.Option(help="Recommend from this domain only.")] = Domains.both,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Number of recommendations per domain.")] = 10,
    model: ModelOption = None,
    include_owned: Annotated[bool, typer.Option("--include-owned", help="Recommend owned items too.")] = False,
    latest: Annotated[int, typer.Option(min=0, help="Number of latest interactions shown.")] = 15,
    as_json: JsonOption = False,
    everyone: Annotated[bool, typer.Option("--all", help="Recommend to every user of the pair, into --out.")] = False,
    users: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Recommend to the users of a text file, one id on each line, into --out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Parquet file to write, with --all or --users; relative to the root."),
    ] = None,
    evaluated: Annotated[
        bool,
        typer.Option(
            "--evaluated", help="Use the evaluated model even where one was trained on everything (stage refit)."
        ),
    ] = False,
    device: DeviceOption = Device.cpu,
) -> None:
    """Show a user's history and profile, and the items that a model recommends next; or recommend to all users at once.

    Owned items are excluded; --include-owned keeps them. If no title matches exactly, the closest match is used and
    reported. `tandem` treats days after its training period as the last day of training.

    With --all or --users, a Parquet file is written: reviewer, domain, rank, asin and score of k items per user and
    domain. Users are scored in blocks, on a GPU if there is one. A run that was killed goes on where it was if the
    command is repeated. Unknown users are refused before anything is computed.

    Examples:

    * `lecdsr recommend --pair demo --user A1B2C3 -k 5`
    * `lecdsr recommend --pair demo --history B00ABC1234,B00DEF5678@2017-03-01 --history "olive oil" --json`
    * `lecdsr recommend --pair demo --all --out recommendations.parquet`
    * `lecdsr recommend --pair demo --users ids.txt --model tandem -k 20 --out recommendations.parquet`
    """
    from lecdsr.cli.recommend import show, write_all

    if not (everyone or users or out):
        shown = (_one(domain), k, model, latest, include_owned, evaluated, as_json, device)
        show(Artefacts(pair), user, history or [], day, *shown)
        return
    if not (everyone or users):
        raise UserError("--out is for many users", do="add --all, or --users FILE, or leave --out away")
    if (everyone and users) or user or history or day or as_json:
        raise UserError(
            "--all and --users stand alone: they exclude each other and --user, --history, --day and --json",
            do="run the command once for each",
        )
    write_all(Artefacts(pair), users, out, _one(domain), k, model, include_owned, evaluated, device)


@app.command()
def explain(
    pair: PairOption,
    item: Annotated[str, typer.Option(help="ASIN or title of the item to explain.")],
    user: UserOption = None,
    history: HistoryOption = None,
    day: DayOption = None,
    model: ModelOption = None,
    latest: Annotated[int, typer.Option("--show", min=0, help="Number of history items shown.")] = 15,
    as_json: JsonOption = False,
    device: DeviceOption = Device.cpu,
) -> None:
    """Explain the score of an item for a user: rank, contribution of each history item, parts of text and id.

    The contribution of a history item is the drop in score when that item is removed. Its similarity to the explained
    item is shown as well. For models whose items have both an id and a text (`tandem`, `sasrec` with item_text), the
    score is split into the two.

    Example: `lecdsr explain --pair demo --user A1B2C3 --item B00ABC1234`
    """
    from lecdsr.cli.explain import show_explanation

    show_explanation(Artefacts(pair), item, user, history or [], day, model, latest, as_json, device)


@app.command()
def similar(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="ASIN or title.")],
    pair: PairOption,
    domain: Annotated[Domains, typer.Option(help="Search this domain only.")] = Domains.both,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Number of items per domain.")] = 10,
    model: ModelOption = None,
    as_json: JsonOption = False,
    device: DeviceOption = Device.cpu,
) -> None:
    """Show the items of both domains that are most similar to one, by the cosine of their vectors in a model.

    For `itemknn` it is the co-occurrence similarity. Example: `lecdsr similar "olive oil" --pair demo -k 5`
    """
    from lecdsr.cli.explain import show_similar

    show_similar(Artefacts(pair), item, _one(domain), k, model, as_json, device)


@app.command()
def export(
    pair: PairOption,
    out: Annotated[Path, typer.Option(help="Folder to write to, relative to the root of the repository.")],
    model: ModelOption = None,
    evaluated: Annotated[
        bool,
        typer.Option(
            "--evaluated", help="Export the evaluated model even where one was trained on everything (stage refit)."
        ),
    ] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write the query tower as a graph, query.onnx (extra `onnx`).")
    ] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Export a two-tower model, score = query · key + bias, as a folder for `lecdsr serve` or an index of your own.

    Writes items.parquet (keys and biases), users.parquet (a query for every user after their whole history, and their
    owned items), the model, the tables of the pair that it needs, and facts.json with the SHA-256 of each of them.
    examples/ann.py loads the vectors into an index. A model that compares items with phrases of the profiles also
    writes rerank-items.parquet and rerank-users.parquet. With --onnx, query.onnx computes the query of any history in
    ONNX Runtime, without this package. Models that are not two-tower (`itemknn`) are refused.
    The folder holds the histories of all users: treat it as personal data.

    Example: `lecdsr export --pair demo --model tandem --out data/demo/export`
    """
    from lecdsr.cli.export import export as write

    write(Artefacts(pair), model, out, device, evaluated, onnx)


def _one(domain: Domains) -> str | None:
    return None if domain is Domains.both else domain.value


@app.command()
def metrics(
    pair: Annotated[str, typer.Option(help="Name of the domain pair, as in pairs/NAME.yaml.")],
    split: Annotated[Split, typer.Option(help="Targets to show.")] = Split.test,
) -> None:
    """Show the metrics of every evaluated model of a pair, and the path of its report."""
    from lecdsr.cli.metrics import show_metrics

    show_metrics(Artefacts(pair), split.value)


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
    setting and its controls run under every seed. Each run is a DVC experiment (`dvc exp show -A`) in a clone under
    .experiments, so that the working tree stays free. The command can be killed and repeated: finished runs are not
    run again unless their settings, tables or code have changed. A failed run is reported; the others continue.

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


class IndexKind(enum.StrEnum):
    """How a service finds the best items."""

    exact = "exact"
    ann = "ann"


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Export that `lecdsr export` wrote.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs LECDSR_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8094,
    index: Annotated[
        IndexKind,
        typer.Option(
            help="Score every item, or those that a nearest-neighbour index proposes (extra `ann`, for 10⁶ items)."
        ),
    ] = IndexKind.exact,
    max_requests: Annotated[
        int, typer.Option(min=1, help="Requests answered at once; more are told to come again (503).")
    ] = 128,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a request may take to arrive; slower clients are cut off.")
    ] = 10,
) -> None:
    """Recommend over HTTP, from one export and without a repository: a page at / and JSON below it.

    * `POST /recommend`: to a user of the pair, or to an anonymous user with a history; as `lecdsr recommend` does
    * `POST /explain`: why an item has its score, `GET /similar/ITEM`: which items are like it
    * `GET /items?query=WORDS`: search titles
    * `GET /health`, `GET /metrics` (Prometheus), `GET /openapi.json` (all requests, with examples)

    An export that is incomplete, damaged or of another version is refused. SIGHUP loads FOLDER once more beside the
    running service and replaces it without dropping a request; a new export that is refused changes nothing. SIGTERM
    answers what has begun and ends.

    Only this machine can reach the service unless --host says otherwise. Clients must then send the header
    `Authorization: Bearer TOKEN` with the token from the environment variable LECDSR_SERVE_TOKEN. It speaks plain
    HTTP: put a proxy with TLS in front. Nothing that a user sends is logged.

    Examples:

    * `lecdsr export --pair demo --out data/demo/export`, then `lecdsr serve data/demo/export`
    * `curl -s localhost:8094/recommend -H 'Content-Type: application/json' -d '{"history": ["olive oil"], "k": 5}'`
    * `LECDSR_SERVE_TOKEN=$(openssl rand -hex 32) lecdsr serve /srv/export --host 0.0.0.0`
    """
    from lecdsr.serve.limits import Limits, check_installed

    check_installed()
    from lecdsr.serve.server import serve as serve_export

    limits = Limits(requests=max_requests, seconds=timeout)
    serve_export(folder, host, port, index.value, limits)


@app.command("serve-llm")
def serve_llm(
    model: Annotated[Path | None, typer.Option(help="A model in the GGUF format; default SmolLM2-135M.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8093,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Requests answered at once.")] = 4,
    context: Annotated[int, typer.Option(min=128, help="Tokens of prompt and answer together.")] = 2048,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; default all.")] = None,
) -> None:
    """Serve a language model on this machine through the OpenAI API: no key, no network, no GPU.

    Install it once with `make local-llm`. The default model has 135 million parameters; it is meant for trying the
    pipeline with a real model, not for results: see docs/lab-notes.md.
    """
    from lecdsr.llm_server.server import serve

    serve(model, port, parallel, context, threads or os.cpu_count() or 1)


def run() -> None:
    """Run the command line; report a user mistake as one message, with exit code 1."""
    prepare_environment()
    try:
        if not {"--help", "-h"} & set(sys.argv[1:]) and sys.argv[1:2] and sys.argv[1] not in ANYWHERE:
            enter_repository()
        app()
    except UserError as error:
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
