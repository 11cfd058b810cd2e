"""Answer the questions, from the answer store or through a provider."""

from __future__ import annotations

from lecdsr.ask.providers import answer_questions
from lecdsr.ask.run import answer_metrics, answer_table, check_failures
from lecdsr.ask.settings import Settings
from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, QUESTIONS
from lecdsr.core.stage import run_stage


def main(pair: str) -> None:
    """Run the stage for one pair: read its questions, write its answers."""
    artefacts = Artefacts(pair)
    settings = read_resolved(artefacts.stage_settings("ask"), Settings).settings
    questions = read_table(artefacts.questions, QUESTIONS)
    result = answer_questions(questions, settings)
    answers = answer_table(questions, result)
    check_failures(answers, result, settings.max_failed_share)
    metrics = answer_metrics(answers, questions, result)
    write_table(artefacts.answers, answers, ANSWERS)
    write_json(artefacts.stage_metrics("ask"), metrics)
    summary(
        f"ask: {pair}",
        {
            **metrics,
            "answers from the store": result.from_store,
            "prompt tokens of this run": result.usage_of_run.prompt_tokens,
            "completion tokens of this run": result.usage_of_run.completion_tokens,
        },
    )


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
