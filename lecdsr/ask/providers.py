"""Choose the provider that the settings name, and answer the questions through it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa

from lecdsr.ask.request import model_of
from lecdsr.ask.run import Asked, ask
from lecdsr.ask.settings import Settings
from lecdsr.core.console import warn
from lecdsr.core.errors import UserError

if TYPE_CHECKING:
    from lecdsr.ask.batch import BatchProvider
    from lecdsr.ask.files import FilesProvider
    from lecdsr.ask.openai_provider import OpenAIProvider
    from lecdsr.ask.store import Store

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
    # Imported here: the clients take a second to load, which the offline writer need not pay.
    from lecdsr.ask.interrupt import gentle_interrupt
    from lecdsr.ask.parent import watched_parent
    from lecdsr.ask.store import open_store

    if questions.num_rows and model == OFFLINE_MODEL:
        raise UserError(
            "the questions name the model `offline`, which no server has",
            where="prompts.model",
            do="name a model of the server there, or set `ask.provider: offline`",
        )
    with open_store() as store:
        provider = _provider(questions, store)
        with watched_parent(provider.shut, store.close), gentle_interrupt(provider.shut):
            return ask(questions, provider, store)


def _provider(questions: pa.Table, store: Store) -> OpenAIProvider | BatchProvider | FilesProvider:
    from lecdsr.ask.access import read_transport

    transport = read_transport(os.environ)
    _refuse_elsewhere(questions, store, transport)
    if transport == "batch":
        from lecdsr.ask.batch import BatchProvider

        return BatchProvider(os.environ, store)
    if transport == "files":
        from lecdsr.ask.files import FilesProvider

        return FilesProvider(store)
    from lecdsr.ask.openai_provider import OpenAIProvider

    return OpenAIProvider(os.environ)


def _refuse_elsewhere(questions: pa.Table, store: Store, transport: str) -> None:
    """Ask nothing that is being answered on another way: it would be paid twice."""
    from lecdsr.ask.access import TRANSPORT
    from lecdsr.ask.jobs import under_way

    held = under_way(store, list(dict.fromkeys(questions["key"].to_pylist())))
    elsewhere = sorted({other for other in held.values() if other != transport})
    if elsewhere:
        raise UserError(
            f"{len(held):,} of these questions are on their way by {elsewhere[0]}; asked otherwise they are paid twice",
            where=TRANSPORT,
            do=f"set it to {elsewhere[0]} and go on there; or drop what is on its way: `lecdsr answers prune`",
        )
