"""Choose the provider named in the settings and answer the questions through it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa

from lecdsr.ask.request import model_of
from lecdsr.ask.run import AskResult, ask
from lecdsr.ask.settings import Settings
from lecdsr.core.console import warn
from lecdsr.core.errors import UserError

if TYPE_CHECKING:
    from lecdsr.ask.batch import BatchProvider
    from lecdsr.ask.files import FilesProvider
    from lecdsr.ask.openai_provider import OpenAIProvider
    from lecdsr.ask.store import Store

#: Model name of questions for the offline writer.
OFFLINE_MODEL = "offline"


def answer_questions(questions: pa.Table, settings: Settings) -> AskResult:
    """Answer every question of the table ``QUESTIONS`` through the provider named in the settings.

    Raises:
        UserError: the questions name no model of a server, or the provider or the store fails.
    """
    model = model_of(questions["body"][0].as_py()) if questions.num_rows else OFFLINE_MODEL
    return _offline(questions, model, settings) if settings.provider == "offline" else _openai(questions, model)


def _offline(questions: pa.Table, model: str, settings: Settings) -> AskResult:
    from lecdsr.ask.offline import OfflineWriter

    if model != OFFLINE_MODEL:
        warn(
            f"ask.provider is offline: the offline writer fills the texts by rules, and the model {model} is not asked"
        )
    return ask(questions, OfflineWriter(settings.offline_lists))


def _openai(questions: pa.Table, model: str) -> AskResult:
    # Imported here because the clients take a second to load, which the offline writer does not need.
    from lecdsr.ask.shutdown import graceful_interrupt, stop_with_parent
    from lecdsr.ask.store import open_store

    if questions.num_rows and model == OFFLINE_MODEL:
        raise UserError(
            "the provider is a server, but the model is still `offline`",
            where="prompts.model",
            do="set it to a model of the server, or set `ask.provider: offline`",
            code="no-model",
        )
    with open_store() as store:
        provider = _provider(questions, store)
        with stop_with_parent(provider.stop, store.close), graceful_interrupt(provider.stop):
            return ask(questions, provider, store)


def _provider(questions: pa.Table, store: Store) -> OpenAIProvider | BatchProvider | FilesProvider:
    from lecdsr.ask.access import read_transport

    transport = read_transport(os.environ)
    _refuse_other_transport(questions, store, transport)
    if transport == "batch":
        from lecdsr.ask.batch import BatchProvider

        return BatchProvider(os.environ, store)
    if transport == "files":
        from lecdsr.ask.files import FilesProvider

        return FilesProvider(store)
    from lecdsr.ask.openai_provider import OpenAIProvider

    return OpenAIProvider(os.environ)


def _refuse_other_transport(questions: pa.Table, store: Store, transport: str) -> None:
    """Refuse questions that are under way by another transport: they would be paid twice."""
    from lecdsr.ask.access import TRANSPORT
    from lecdsr.ask.jobs import keys_in_open_jobs

    held = keys_in_open_jobs(store, list(dict.fromkeys(questions["key"].to_pylist())))
    elsewhere = sorted({other for other in held.values() if other != transport})
    if elsewhere:
        raise UserError(
            f"{len(held):,} of these questions were already sent with the transport {elsewhere[0]}; sending them again "
            "would pay them twice",
            where=TRANSPORT,
            do=f"set it to {elsewhere[0]} to collect the answers, or discard the open jobs with `lecdsr answers prune`",
            code="open-jobs",
        )
