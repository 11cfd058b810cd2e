"""`lecdsr ask`: estimate the cost of the questions of a pair, and answer them into the answer store."""

from __future__ import annotations

import os

from lecdsr.ask.access import CONCURRENCY, MAX_COST, MAX_REQUESTS, TRANSPORT
from lecdsr.ask.estimate import estimate
from lecdsr.ask.metrics import answer_metrics
from lecdsr.ask.providers import answer_questions
from lecdsr.ask.run import answer_table
from lecdsr.ask.settings import Settings
from lecdsr.ask.store import open_store
from lecdsr.config.load import load_block, load_pair
from lecdsr.core.console import say, summary
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import QUESTIONS


def show_estimate(pair: str, per_minute: float | None, tokens_per_minute: float | None) -> None:
    """Print tokens, cost and time of asking the questions of a pair."""
    load_block("ask", Settings, pair)  # reports a mistyped pair
    questions = read_table(Artefacts(pair).questions, QUESTIONS)
    with open_store() as store:
        facts = estimate(questions, store).facts(per_minute, tokens_per_minute, int(os.environ.get(CONCURRENCY) or 16))
    summary(f"Asking the questions of {pair}", facts)


def ask_pair(pair: str, transport: str | None, max_cost: float | None, max_requests: int | None) -> None:
    """Ask the questions that the store lacks; options override environment variables.

    Raises:
        UserError: the pair's provider asks no server, or asking fails.
    """
    settings = load_block("ask", Settings, pair)
    if settings.provider == "offline":
        raise UserError(
            "the provider is offline: the offline writer fills the texts by rules, and no question is asked",
            where="ask.provider",
            do="set it to openai, and set prompts.model to a model of the server",
            code="offline",
        )
    if settings.provider == "table":
        raise UserError(
            "the provider is a table of texts, and no question is asked",
            where="ask.provider",
            do=f"run `dvc repro ask@{pair}` to read the table, or set it to openai",
            code="table",
        )
    for name, value in ((TRANSPORT, transport), (MAX_COST, max_cost), (MAX_REQUESTS, max_requests)):
        if value is not None:
            os.environ[name] = str(value)
    questions = read_table(Artefacts(pair).questions, QUESTIONS)
    result = answer_questions(questions, settings)
    metrics = answer_metrics(answer_table(questions, result), questions, result, load_pair(pair).domains)
    summary(f"Answers of {pair}", {**metrics, "from the store": result.from_store, "USD of this run": result.spent})
    say(f"`dvc repro` takes them from the store; failed questions: `lecdsr answers failures --pair {pair}`")
