"""Types shared by all providers: questions, answers, failures, token usage, and the provider interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """A question, a row of ``QUESTIONS`` without its id, because users with the same history share one question."""

    kind: str
    key: str
    body: str
    facts: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts that a server reported; zeros if it reported none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its text, the raw reply it was read from (empty without a server), and the model that wrote it."""

    text: str
    reply: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that failed for good in this run; ``reason`` is a short text, ``detail`` the server's message."""

    reason: str
    detail: str = ""
    reply: str = ""
    usage: Usage = Usage()

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


Outcome = Answer | Failure


class Provider(Protocol):
    """Interface of a provider, which answers questions through a server, through a batch API, or by rules."""

    #: Name in the settings and in metrics.
    name: str
    #: Name shown to the user.
    title: str

    @property
    def spent(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        ...

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Yield questions with their outcomes as they come, in any order, and an empty list now and then.

        Raises:
            UserError: no further question can be answered; outcomes yielded before stay valid.
        """
        ...


@dataclass(frozen=True)
class Endpoint:
    """A kind of request to the API, such as chat or embeddings; errors, caps and pauses are the same for all kinds.

    Args:
        path: path of the request below the base URL.
        read: turns a reply with a status of success into an outcome.
        model_key: setting that names the model, for error messages.
        provider_key: setting that needs no server, for error messages.
    """

    path: str
    read: Callable[[Question, str], Outcome]
    model_key: str
    provider_key: str
