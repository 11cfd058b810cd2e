"""Ask: answer the questions, by rule or by a language model, and pay for none twice."""

from __future__ import annotations

import os

import pyarrow as pa

from lecdsr.ask.asking import Asked, answer_metrics, answer_table, ask, check_failures
from lecdsr.ask.settings import Settings
from lecdsr.base.console import warn
from lecdsr.base.errors import UserError
from lecdsr.base.requests import model_of

__all__ = ["Asked", "Settings", "answer_metrics", "answer_questions", "answer_table", "ask", "check_failures"]

#: Name of the model in questions that are meant for the offline writer.
OFFLINE_MODEL = "offline"


def answer_questions(questions: pa.Table, settings: Settings) -> Asked:
    """Answer every question of the table ``QUESTIONS`` through the provider that the settings name.

    Raises:
        UserError: the questions name no model to ask, or the provider or the store cannot go on.
    """
    model = model_of(questions["body"][0].as_py()) if questions.num_rows else OFFLINE_MODEL
    return _offline(questions, model) if settings.provider == "offline" else _openai(questions, model)


def _offline(questions: pa.Table, model: str) -> Asked:
    from lecdsr.ask.offline import OfflineWriter

    if model != OFFLINE_MODEL:
        warn(f"ask.provider is offline: rules write the texts, the model {model} is not asked")
    return ask(questions, OfflineWriter())


def _openai(questions: pa.Table, model: str) -> Asked:
    # Imported here: the client takes a second to load, which the offline writer need not pay.
    from lecdsr.ask.interrupt import gentle_interrupt
    from lecdsr.ask.openai_provider import OpenAIProvider
    from lecdsr.ask.parent import watched_parent
    from lecdsr.ask.store import open_store

    if questions.num_rows and model == OFFLINE_MODEL:
        raise UserError(
            "the questions name the model `offline`, which no server has",
            where="prompts.model",
            do="name a model of the server there, or set `ask.provider: offline`",
        )
    provider = OpenAIProvider(os.environ)
    with open_store() as store, watched_parent(provider.shut, store.close), gentle_interrupt(provider.shut):
        return ask(questions, provider, store)
