"""Write one question for every requested user profile and item description."""

from __future__ import annotations

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, QUESTIONS, USERS
from lecdsr.core.stage import run_stage
from lecdsr.prompts.questions import write_questions
from lecdsr.prompts.settings import Settings


def main(pair: str) -> None:
    """Run the stage for one pair: read its sequences, write its questions."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("prompts"), Settings)
    settings = resolved.settings
    questions = write_questions(
        read_table(artefacts.items, ITEMS),
        read_table(artefacts.users, USERS),
        read_table(artefacts.interactions, INTERACTIONS),
        resolved.domains,
        settings,
    )
    write_table(artefacts.questions, questions.table, QUESTIONS)
    write_json(artefacts.stage_metrics("prompts"), questions.metrics())
    summary(
        f"prompts: {pair}",
        {
            "profiles asked for": questions.profiles,
            "users without a question": questions.users_without_profile,
            "descriptions asked for": questions.descriptions,
            "median characters of a request": questions.median_characters,
            "model": settings.model,
            "profiles by version": questions.profiles_by_version,
        },
    )


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
