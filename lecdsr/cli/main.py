"""The command line ``lecdsr``, put together from its commands; the pipeline itself is run by ``dvc repro``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lecdsr.cli.answers import app as answers_app
from lecdsr.cli.commands import experiments, language_models, recommendations
from lecdsr.cli.commands.options import PairOption, Split
from lecdsr.cli.data import app as data_app
from lecdsr.core.console import console
from lecdsr.core.exit import exit_on_user_error
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

# Commands that work outside a repository.
ANYWHERE = ("data", "serve", "serve-llm")


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


@app.command()
def metrics(
    pair: PairOption,
    split: Annotated[Split, typer.Option(help="Targets to show.")] = Split.test,
) -> None:
    """Show the metrics of every evaluated model of a pair, and the path of its report."""
    from lecdsr.cli.metrics import show_metrics

    show_metrics(Artefacts(pair), split.value)


# In the order of --help.
for commands in (recommendations, experiments, language_models):
    app.add_typer(commands.app)
app.add_typer(data_app, name="data")
app.add_typer(answers_app, name="answers")


@exit_on_user_error()
def run() -> None:
    """Run the command line; report a user mistake as one message, with exit code 1."""
    prepare_environment()
    if not {"--help", "-h"} & set(sys.argv[1:]) and sys.argv[1:2] and sys.argv[1] not in ANYWHERE:
        enter_repository()
    app()


if __name__ == "__main__":
    run()
