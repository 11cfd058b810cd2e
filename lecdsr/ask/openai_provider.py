"""Any server that speaks the OpenAI API, asked by a crew of threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import openai

from lecdsr.ask.access import Access, read_access
from lecdsr.ask.crew import Crew
from lecdsr.ask.gate import Gate
from lecdsr.ask.reply import read_reply
from lecdsr.ask.seam import Answer, Failure, Outcome, Question
from lecdsr.ask.verdict import KEPT, Retry, judge
from lecdsr.base.errors import UserError
from lecdsr.base.requests import model_of, sent_part

Send = Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Pace:
    """How patiently a request is repeated: ``attempts`` in all, pauses doubling from ``first_s`` to ``longest_s``."""

    attempts: int = 8
    first_s: float = 1.0
    longest_s: float = 60.0
    #: Questions that may fail one after another, without an answer between, before the run stops.
    failures_in_a_row: int = 20

    def delay(self, attempt: int) -> float:
        """Seconds before attempt ``attempt + 1``, drawn from the upper half so that workers spread."""
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


class OpenAIProvider:
    """Provider that asks a server; the environment is read when the first question comes."""

    name = "openai"
    title = "server with the OpenAI API"

    def __init__(self, environment: Mapping[str, str], pace: Pace | None = None) -> None:
        self._environment = environment
        self._pace = pace or Pace()
        self._gate: Gate | None = None
        self._shut: BaseException | None = None

    def answer(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Outcome]]:
        """Ask every question, at most as many at once as the environment and the server allow.

        Raises:
            UserError: the environment is incomplete, the key or the model is refused, the account
                is empty, the server cannot be reached, the cap on requests is reached, or question
                after question fails.
        """
        access = read_access(self._environment)
        gate = self._gate = Gate(access.concurrency, access.max_requests)
        if self._shut is not None:
            gate.shut(self._shut)
        with _client(access) as client:
            asker = _Asker(access, self._pace, gate, _sender(client))
            yield from Crew(questions, asker.answer, gate).outcomes(access.concurrency)

    def shut(self, reason: BaseException) -> None:
        """Hand out no further work; :meth:`answer` yields what is under way and then raises ``reason``."""
        self._shut = reason
        if self._gate is not None:
            self._gate.shut(reason)


class _Asker:
    """One question to one outcome, over as many requests as its errors warrant."""

    def __init__(self, access: Access, pace: Pace, gate: Gate, send: Send) -> None:
        self._access, self._pace, self._gate, self._send = access, pace, gate, send
        self._failed_in_a_row = 0
        self._counting = threading.Lock()

    def answer(self, question: Question) -> Outcome:
        outcome = self._ask(question)
        with self._counting:
            self._failed_in_a_row = 0 if isinstance(outcome, Answer) else self._failed_in_a_row + 1
            if self._failed_in_a_row == self._pace.failures_in_a_row:
                self._gate.shut(_hopeless(self._failed_in_a_row, outcome))
        return outcome

    def _ask(self, question: Question) -> Outcome:
        request = sent_part(question.body)
        timeouts = 0
        for attempt in count(1):
            try:
                return read_reply(self._access.redact(self._request(request)))
            except openai.OpenAIError as error:
                verdict = judge(error, self._access, model_of(question.body))
            if isinstance(verdict, UserError):
                raise verdict
            if isinstance(verdict, Failure):
                return verdict
            timeouts += verdict.timeout
            if timeouts > 1 or attempt == self._pace.attempts:
                return _give_up(verdict)
            self._wait(verdict, attempt)
        raise AssertionError("unreachable")

    def _request(self, request: dict[str, Any]) -> str:
        sent_at = self._gate.enter()
        try:
            raw = self._send(request)
        except openai.RateLimitError:
            self._gate.limited(sent_at)
            raise
        finally:
            self._gate.leave()
        self._gate.succeeded()
        return raw

    def _wait(self, verdict: Retry, attempt: int) -> None:
        if verdict.after:
            self._gate.pause(verdict.after)  # the server speaks to all workers
        else:
            self._gate.rest(self._pace.delay(attempt))


def _give_up(verdict: Retry) -> Failure:
    if isinstance(verdict.exhausted, UserError):
        raise verdict.exhausted
    return verdict.exhausted


def _hopeless(failures: int, last: Outcome) -> UserError:
    return UserError(f"{failures} questions failed one after another; the last: {last}", do=f"mend the cause; {KEPT}")


def _client(access: Access) -> openai.OpenAI:
    # The client's own retries repeat what cannot succeed, and repeat paid timeouts.
    return openai.OpenAI(api_key=access.key, base_url=access.base_url, timeout=access.timeout_s, max_retries=0)


def _sender(client: openai.OpenAI) -> Send:
    create: Any = client.chat.completions.with_raw_response.create

    def send(request: dict[str, Any]) -> str:
        return str(create(**request).text)

    return send
