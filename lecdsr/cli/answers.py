"""`lecdsr answers`: statistics, export, import, verification and pruning of the answer store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
import typer

from lecdsr.ask import maintenance
from lecdsr.ask.store import open_store
from lecdsr.core.console import say, summary
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, QUESTIONS

app = typer.Typer(
    no_args_is_help=True,
    help="Manage the answer store, which holds all paid answers. It is the folder .llm-store, or the folder that "
    "LECDSR_LLM_STORE names.",
)


@app.command()
def stats() -> None:
    """Count answers and tokens by model, failures by reason, and open files and batches."""
    with open_store() as store:
        summary("Answer store", maintenance.stats(store))


@app.command()
def failures(
    pair: Annotated[str, typer.Option(help="Name of a domain pair whose stage `ask` has run.")],
) -> None:
    """List the questions of a pair that have no answer, each with its reason."""
    answers = read_table(Artefacts(pair).answers, ANSWERS)
    failed = answers.filter(pc.is_null(answers["text"]))
    for kind, number, reason in zip(*(failed[name].to_pylist() for name in ("kind", "id", "reason")), strict=True):
        say(f"{kind} {number}: {reason}")
    say(f"{failed.num_rows:,} of {answers.num_rows:,} questions have no answer")


@app.command("export")
def export_answers(file: Annotated[Path, typer.Argument(help="File to write: one answer a line, as JSON.")]) -> None:
    """Write all answers to a file that another group can import."""
    with open_store() as store:
        say(f"{maintenance.export(store, file):,} answers written to {file}")


@app.command("import")
def import_answers(
    files: Annotated[list[Path], typer.Argument(help="Exported answers, or results of files of requests.")],
) -> None:
    """Import answers of another store, or the results of a batch that ran elsewhere.

    The key of every answer is recomputed, and invalid lines are refused. Answers already in the store stay unchanged.
    """
    with open_store() as store:
        for file in files:
            report = maintenance.import_answers(store, file)
            facts = {"new answers": report.answers, "already known": report.known}
            facts |= {f"failed: {reason}": count for reason, count in report.failures.items()}
            summary(str(file), facts | {f"refused: {reason}": count for reason, count in report.refused.items()})


@app.command()
def verify() -> None:
    """Check the file, every key and every reply."""
    with open_store() as store:
        faults = maintenance.verify(store)
        if faults:
            raise UserError(
                "\n  ".join([f"the answer store has {len(faults):,} faults:", *faults[:20]]),
                where=str(store.path),
                do="run `lecdsr answers export FILE`, set LECDSR_LLM_STORE to a new folder, and run "
                "`lecdsr answers import FILE`: faulty answers are left out",
                code="faults",
            )
        say("every answer has the key of its question and can be read")


@app.command()
def prune(
    unused: Annotated[
        Path | None,
        typer.Option(help="Also remove answers that no pair uses, after exporting all answers to this file."),
    ] = None,
) -> None:
    """Delete failures and open jobs; with --unused FILE, also answers that no pair uses any more.

    Open jobs are dropped for good: a batch that the server has started may still be charged.
    """
    with open_store() as store:
        if unused is not None:
            say(f"{maintenance.export(store, unused):,} answers written to {unused}")
        removed = maintenance.prune(store, None if unused is None else _used_keys())
        say(f"{removed:,} answers removed; failures and open files and batches deleted")


def _used_keys() -> set[str]:
    paths = sorted(Path("data").glob("*/questions.parquet"))
    return {key for path in paths for key in read_table(path, QUESTIONS, columns=["key"])["key"].to_pylist()}
