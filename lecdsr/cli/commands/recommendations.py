"""Definition of the commands that recommend and explain: `recommend`, `explain`, `similar`, `export`, `serve`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from lecdsr.cli.commands.options import (
    DayOption,
    Device,
    DeviceOption,
    Domains,
    HistoryOption,
    JsonOption,
    ModelOption,
    PairOption,
    UserOption,
)
from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts

app = typer.Typer()


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
    * `curl -s localhost:8094/recommend -H 'Content-Type: application/json' -d '{"history": ["B04DEFOJ1M"], "k": 5}'`
    * `LECDSR_SERVE_TOKEN=$(openssl rand -hex 32) lecdsr serve /srv/export --host 0.0.0.0`
    """
    from lecdsr.serve.limits import Limits, check_installed

    check_installed()
    from lecdsr.serve.server import serve as serve_export

    limits = Limits(requests=max_requests, seconds=timeout)
    serve_export(folder, host, port, index.value, limits)


def _one(domain: Domains) -> str | None:
    return None if domain is Domains.both else domain.value
