"""Answer the questions, from the answer store, through a provider, or from tables of texts."""

from __future__ import annotations

from typing import Any

from lecdsr.ask.metrics import answer_metrics, table_metrics
from lecdsr.ask.providers import answer_questions
from lecdsr.ask.run import answer_table, check_failures
from lecdsr.ask.settings import Settings
from lecdsr.ask.table import PairTables, answers_from_tables
from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, INTERACTIONS, ITEMS, QUESTIONS, USERS
from lecdsr.core.stage import run_stage


def main(pair: str) -> None:
    """Run the stage for one pair: read its questions or its tables of texts, write its answers."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("ask"), Settings)
    if resolved.settings.provider == "table":
        _from_tables(artefacts, resolved.settings, resolved.domains)
    else:
        _from_provider(artefacts, resolved.settings, resolved.domains)


def _from_tables(artefacts: Artefacts, settings: Settings, domains: tuple[str, str]) -> None:
    tables = PairTables(
        items=read_table(artefacts.items, ITEMS),
        users=read_table(artefacts.users, USERS),
        interactions=read_table(artefacts.interactions, INTERACTIONS),
        domains=domains,
    )
    found = answers_from_tables(settings, tables)
    metrics = table_metrics(found, domains)
    facts = {
        f"{name}: {fact.replace('_', ' ')}": value
        for name, table in found.tables.items()
        for fact, value in table.items()
    }
    shown = {name: value for name, value in metrics.items() if name != "tables"}
    _write(artefacts, found.answers, metrics, shown | facts)


def _from_provider(artefacts: Artefacts, settings: Settings, domains: tuple[str, str]) -> None:
    questions = read_table(artefacts.questions, QUESTIONS)
    result = answer_questions(questions, settings)
    answers = answer_table(questions, result)
    check_failures(answers, result, settings.max_failed_share)
    metrics = answer_metrics(answers, questions, result, domains)
    of_this_run = {
        "answers from the store": result.from_store,
        "prompt tokens of this run": result.usage_of_run.prompt_tokens,
        "completion tokens of this run": result.usage_of_run.completion_tokens,
    }
    _write(artefacts, answers, metrics, metrics | of_this_run)


def _write(artefacts: Artefacts, answers: Any, metrics: dict[str, Any], shown: dict[str, Any]) -> None:
    write_table(artefacts.answers, answers, ANSWERS)
    write_json(artefacts.stage_metrics("ask"), metrics)
    summary(f"ask: {artefacts.pair}", shown)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
