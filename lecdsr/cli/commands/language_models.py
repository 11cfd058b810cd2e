"""Definition of the commands for language models: `ask`, `serve-llm`."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated

import typer

from lecdsr.cli.commands.options import PairOption

app = typer.Typer()


class Transport(enum.StrEnum):
    """Ways in which questions are sent."""

    sync = "sync"
    batch = "batch"
    files = "files"


@app.command()
def ask(
    pair: PairOption,
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
