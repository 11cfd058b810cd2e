"""What a provider is given and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """One row of ``QUESTIONS`` without its id: users with the same history share one question."""

    kind: str
    key: str
    body: str
    facts: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a server counted; zeros where it counted none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Answer:
    """A text, the raw reply it was read from (empty where no server replied), and who wrote it."""

    text: str
    reply: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, for good in this run. ``reason`` is one of a few, ``detail`` is the server's word."""

    reason: str
    detail: str = ""
    reply: str = ""
    usage: Usage = Usage()

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


Outcome = Answer | Failure


class Provider(Protocol):
    """Answers questions: a server, rules, a batch."""

    #: Name in the settings and in metrics.
    name: str
    #: Name for people.
    title: str

    @property
    def spent(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        ...

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Yield questions with their outcomes, in any order, as they come; an empty list now and then.

        Raises:
            UserError: nothing more can be answered; what was yielded before stays valid.
        """
        ...
