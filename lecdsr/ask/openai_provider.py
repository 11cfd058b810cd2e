"""Any server that speaks the OpenAI API, asked by asynchronous workers."""

from __future__ import annotations

import asyncio
import json
import queue
import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from lecdsr.ask.access import Access, read_access
from lecdsr.ask.budget import Budget
from lecdsr.ask.client import Client, Refused, TimedOut, Unreachable
from lecdsr.ask.endpoint import Endpoint
from lecdsr.ask.errors import KEPT, Retry, validator
from lecdsr.ask.prices import read_price
from lecdsr.ask.rate_limit import Gate, Stopped
from lecdsr.ask.reply import read_reply
from lecdsr.ask.request import model_of, sent_part
from lecdsr.ask.types import Answer, Failure, Outcome, Question
from lecdsr.core.errors import UserError

#: Seconds after which the reader of the outcomes is given an empty list, so that it can look around.
TICK_S = 1.0
# Seconds between looks for a question that is being fetched.
_FETCH_S = 0.002

CHAT = Endpoint("chat/completions", lambda question, raw: read_reply(raw), "prompts.model", "ask.provider: offline")


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

    def __init__(self, environment: Mapping[str, str], pace: Pace | None = None, endpoint: Endpoint = CHAT) -> None:
        self._environment, self._endpoint = environment, endpoint
        self._pace = pace or Pace()
        self._gate: Gate | None = None
        self._shut: BaseException | None = None
        self._budget: Budget | None = None

    @property
    def spent(self) -> float:
        """US dollars spent so far, as far as the price of the model is known."""
        return self._budget.spent if self._budget else 0.0

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Ask every question, at most as many at once as the environment and the server allow.

        Raises:
            BudgetReached: a cap on requests or cost is reached.
            UserError: the environment is incomplete, the key or the model is refused, the account
                is empty, the server cannot be reached, or question after question fails.
        """
        if self._shut is not None:
            raise self._shut
        access = read_access(self._environment, self._endpoint.provider_key)
        results = _Results(questions, ahead=2 * access.concurrency)
        threading.Thread(target=asyncio.run, args=(self._ask_all(access, results),), daemon=True).start()
        try:
            for outcomes in results.outcomes():
                yield outcomes  # when the reader comes back for more, these are stored
                if self._gate is not None:
                    self._gate.stored_from_outside(len(outcomes))
        finally:
            # Also where the reader of the outcomes gives up; the first reason is the one that stays.
            if self._gate is not None:
                self._gate.shut_from_outside(Stopped())
        if results.reason is not None and not isinstance(results.reason, Stopped):
            raise results.reason

    def shut(self, reason: BaseException) -> None:
        """Send nothing further; :meth:`answer` yields what is under way and then raises ``reason``."""
        self._shut = reason
        if self._gate is not None:
            self._gate.shut_from_outside(reason)

    async def _ask_all(self, access: Access, results: _Results) -> None:
        try:
            first = await results.first()
            if first is None:
                return
            # The caps hold for all that one provider asks, however often it is called.
            self._budget = self._budget or _budget(access, first, self._environment)
            gate = self._gate = Gate(access.concurrency, self._budget)
            if self._shut is not None:
                gate.shut(self._shut)
            async with Client(access) as client:
                asker = _Asker(access, self._pace, gate, client, self._endpoint)
                # Twice the workers: the next request stands ready at the gate when a place comes free.
                await asyncio.gather(*(_work(asker, gate, results) for _ in range(2 * access.concurrency)))
            results.reason = results.reason or gate.stop_reason
        except BaseException as error:
            results.reason = error  # raised by the thread that reads the outcomes
        finally:
            results.end()


class _Results:
    """Questions in, outcomes out, between the thread of the event loop and its reader.

    Questions are fetched by a thread of their own, a few ahead: claiming them waits for the disk,
    and the event loop must not.
    """

    def __init__(self, questions: Iterable[Question], ahead: int) -> None:
        self._questions: deque[Question] = deque()
        self._room = threading.Semaphore(ahead)
        self._fetched = self._ended = False
        self._queue: queue.SimpleQueue[tuple[Question, Outcome] | None] = queue.SimpleQueue()
        self.reason: BaseException | None = None
        threading.Thread(target=self._fetch, args=(questions,), daemon=True).start()

    def _fetch(self, questions: Iterable[Question]) -> None:
        try:
            for question in questions:
                self._room.acquire()
                if self._ended:
                    return
                self._questions.append(question)
        except BaseException as error:
            self.reason = error
        finally:
            self._fetched = True

    async def first(self) -> Question | None:
        """The first question, left in its place."""
        while not self._questions and not self._fetched:
            await asyncio.sleep(_FETCH_S)
        return self._questions[0] if self._questions else None

    async def next(self) -> Question | None:
        """The next question; None after the last."""
        if await self.first() is None:
            return None
        self._room.release()
        return self._questions.popleft()

    def put(self, question: Question, outcome: Outcome) -> None:
        """Hand an outcome to the reader."""
        self._queue.put((question, outcome))

    def end(self) -> None:
        self._ended = True
        self._room.release()
        self._queue.put(None)

    def outcomes(self) -> Iterator[list[tuple[Question, Outcome]]]:
        """Whatever has come since the last time, or an empty list after a while without."""
        while True:
            batch: list[tuple[Question, Outcome]] = []
            try:
                item = self._queue.get(timeout=TICK_S)
                while item is not None:
                    batch.append(item)
                    item = self._queue.get_nowait()
            except queue.Empty:
                yield batch
            else:
                yield batch
                return


async def _work(asker: _Asker, gate: Gate, results: _Results) -> None:
    try:
        while gate.stop_reason is None and (question := await results.next()) is not None:
            outcome = await asker.answer(question)
            gate.received()
            results.put(question, outcome)
    except Stopped:
        return
    except Exception as error:
        gate.shut(error)


class _Asker:
    """One question to one outcome, over as many requests as its errors warrant."""

    def __init__(self, access: Access, pace: Pace, gate: Gate, client: Client, endpoint: Endpoint) -> None:
        self._access, self._pace, self._gate, self._client = access, pace, gate, client
        self._endpoint = endpoint
        self._failed_in_a_row = 0

    async def answer(self, question: Question) -> Outcome:
        outcome = await self._ask(question)
        self._failed_in_a_row = 0 if isinstance(outcome, Answer) else self._failed_in_a_row + 1
        if self._failed_in_a_row == self._pace.failures_in_a_row:
            self._gate.shut(_hopeless(self._failed_in_a_row, outcome))
        return outcome

    async def _ask(self, question: Question) -> Outcome:
        request = sent_part(question.body)
        body = json.dumps(request, ensure_ascii=False).encode()
        worst = self._gate.budget.worst(body, int(request.get("max_tokens", 0)))
        timeouts = 0
        for attempt in count(1):
            try:
                return await self._request(question, body, worst)
            except (Refused, TimedOut, Unreachable) as error:
                verdict = validator(error, self._access, model_of(question.body), self._endpoint.model_key)
            if isinstance(verdict, UserError):
                raise verdict
            if isinstance(verdict, Failure):
                return verdict
            timeouts += verdict.timeout
            if timeouts > 1 or attempt == self._pace.attempts:
                return _give_up(verdict)
            await self._wait(verdict, attempt)
        raise AssertionError("unreachable")

    async def _request(self, question: Question, body: bytes, worst: float) -> Outcome:
        gate, cost = self._gate, worst
        sent_at = await gate.enter(worst)
        try:
            raw = self._access.redact(await self._client.post(self._endpoint.path, body))
            outcome = self._endpoint.read(question, raw)
            cost = gate.budget.cost(outcome.usage, worst)
        except Refused as error:
            cost = 0.0
            if error.status == 429:
                gate.limited(sent_at)
            raise
        except Unreachable as error:
            cost = worst if error.sent else 0.0
            raise
        finally:
            gate.leave(worst, cost)
        gate.succeeded()
        return outcome

    async def _wait(self, verdict: Retry, attempt: int) -> None:
        if verdict.after:
            self._gate.pause(verdict.after)  # the server speaks to all workers
        else:
            await self._gate.rest(self._pace.delay(attempt))


def _budget(access: Access, first: Question, environment: Mapping[str, str]) -> Budget:
    model = model_of(first.body)
    return Budget(model, read_price(model, environment), access.max_requests, access.max_cost)


def _give_up(verdict: Retry) -> Failure:
    if isinstance(verdict.exhausted, UserError):
        raise verdict.exhausted
    return verdict.exhausted


def _hopeless(failures: int, last: Outcome) -> UserError:
    return UserError(f"{failures} requests failed one after another; the last: {last}", do=f"mend the cause; {KEPT}")
