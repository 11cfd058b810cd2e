"""Ask a server with the OpenAI API through asynchronous workers."""

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
from lecdsr.ask.errors import KEPT, Retry, classify_error
from lecdsr.ask.prices import read_price
from lecdsr.ask.rate_limit import RateLimiter, Stopped
from lecdsr.ask.reply import read_reply
from lecdsr.ask.request import model_of, sent_part
from lecdsr.ask.types import Answer, Endpoint, Failure, Outcome, Question
from lecdsr.core.errors import UserError

#: Seconds after which the caller gets an empty list if no outcome came, so that it can renew its claims.
TICK_S = 1.0
# Seconds between checks for a question that is being fetched.
_FETCH_S = 0.002

CHAT = Endpoint("chat/completions", lambda question, raw: read_reply(raw), "prompts.model", "ask.provider: offline")


@dataclass(frozen=True)
class RetryPolicy:
    """Limits on repeating a request: ``attempts`` in all, with pauses doubling from ``first_s`` to ``longest_s``."""

    attempts: int = 8
    first_s: float = 1.0
    longest_s: float = 60.0
    #: Questions that may fail in a row before the run stops.
    failures_in_a_row: int = 20

    def delay(self, attempt: int) -> float:
        """Return the seconds before attempt ``attempt + 1``, drawn from the upper half so that workers spread out."""
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


class OpenAIProvider:
    """Provider that asks a server; the environment is read at the first question."""

    name = "openai"
    title = "server with the OpenAI API"

    def __init__(
        self, environment: Mapping[str, str], retry_policy: RetryPolicy | None = None, endpoint: Endpoint = CHAT
    ) -> None:
        self._environment, self._endpoint = environment, endpoint
        self._retry_policy = retry_policy or RetryPolicy()
        self._limiter: RateLimiter | None = None
        self._stop_reason: BaseException | None = None
        self._budget: Budget | None = None

    @property
    def spent(self) -> float:
        """US dollars spent so far; 0 if the price of the model is not known."""
        return self._budget.spent if self._budget else 0.0

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Ask every question, as many at once as the environment and the server allow.

        Raises:
            BudgetReached: a cap on requests or cost is reached.
            UserError: the environment is incomplete, the key or the model is refused, the account
                is empty, the server cannot be reached, or too many questions fail in a row.
        """
        if self._stop_reason is not None:
            raise self._stop_reason
        access = read_access(self._environment, self._endpoint.provider_key)
        results = _Results(questions, ahead=2 * access.concurrency)
        threading.Thread(target=asyncio.run, args=(self._ask_all(access, results),), daemon=True).start()
        try:
            for outcomes in results.outcomes():
                yield outcomes  # by the next iteration the caller has stored them
                if self._limiter is not None:
                    self._limiter.stored_threadsafe(len(outcomes))
        finally:
            # Runs also if the caller stops early; the limiter keeps the first reason given.
            if self._limiter is not None:
                self._limiter.stop_threadsafe(Stopped())
        if results.reason is not None and not isinstance(results.reason, Stopped):
            raise results.reason

    def stop(self, reason: BaseException) -> None:
        """Send no further request; :meth:`answer` yields the outcomes in flight and then raises ``reason``."""
        self._stop_reason = reason
        if self._limiter is not None:
            self._limiter.stop_threadsafe(reason)

    async def _ask_all(self, access: Access, results: _Results) -> None:
        try:
            first = await results.first()
            if first is None:
                return
            # One budget for all calls of a provider, so that the caps hold for them together.
            self._budget = self._budget or _budget(access, first, self._environment)
            limiter = self._limiter = RateLimiter(access.concurrency, self._budget)
            if self._stop_reason is not None:
                limiter.stop(self._stop_reason)
            async with Client(access) as client:
                worker = _Worker(access, self._retry_policy, limiter, client, self._endpoint)
                # Twice the concurrency, so that the next request waits at the rate limiter when a place is freed.
                await asyncio.gather(*(_work(worker, limiter, results) for _ in range(2 * access.concurrency)))
            results.reason = results.reason or limiter.stop_reason
        except BaseException as error:
            results.reason = error  # raised by the thread that reads the outcomes
        finally:
            results.end()


class _Results:
    """Queue of questions and outcomes between the thread of the event loop and the caller.

    A separate thread fetches a few questions ahead, because claiming them waits for the disk and must not block the
    event loop.
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
        """Return the first question without removing it."""
        while not self._questions and not self._fetched:
            await asyncio.sleep(_FETCH_S)
        return self._questions[0] if self._questions else None

    async def next(self) -> Question | None:
        """Return the next question; None after the last."""
        if await self.first() is None:
            return None
        self._room.release()
        return self._questions.popleft()

    def put(self, question: Question, outcome: Outcome) -> None:
        """Pass an outcome to the caller."""
        self._queue.put((question, outcome))

    def end(self) -> None:
        self._ended = True
        self._room.release()
        self._queue.put(None)

    def outcomes(self) -> Iterator[list[tuple[Question, Outcome]]]:
        """Yield the outcomes since the last call, or an empty list if there were none for a while."""
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


async def _work(worker: _Worker, limiter: RateLimiter, results: _Results) -> None:
    try:
        while limiter.stop_reason is None and (question := await results.next()) is not None:
            outcome = await worker.answer(question)
            limiter.count_received()
            results.put(question, outcome)
    except Stopped:
        return
    except Exception as error:
        limiter.stop(error)


class _Worker:
    """Sends the requests of one question at a time and retries them."""

    def __init__(
        self, access: Access, retry_policy: RetryPolicy, limiter: RateLimiter, client: Client, endpoint: Endpoint
    ) -> None:
        self._access, self._retry_policy, self._limiter, self._client = access, retry_policy, limiter, client
        self._endpoint = endpoint
        self._failed_in_a_row = 0

    async def answer(self, question: Question) -> Outcome:
        outcome = await self._ask(question)
        self._failed_in_a_row = 0 if isinstance(outcome, Answer) else self._failed_in_a_row + 1
        if self._failed_in_a_row == self._retry_policy.failures_in_a_row:
            self._limiter.stop(_too_many_failures(self._failed_in_a_row, outcome, self._endpoint.model_key))
        return outcome

    async def _ask(self, question: Question) -> Outcome:
        request = sent_part(question.body)
        body = json.dumps(request, ensure_ascii=False).encode()
        worst_cost = self._limiter.budget.worst_cost(body, int(request.get("max_tokens", 0)))
        timeouts = 0
        for attempt in count(1):
            try:
                return await self._request(question, body, worst_cost)
            except (Refused, TimedOut, Unreachable) as error:
                classified = classify_error(error, self._access, model_of(question.body), self._endpoint.model_key)
            if isinstance(classified, UserError):
                raise classified
            if isinstance(classified, Failure):
                return classified
            timeouts += classified.timeout
            if timeouts > 1 or attempt == self._retry_policy.attempts:
                return _failure_of(classified)
            await self._wait(classified, attempt)
        raise AssertionError("unreachable")

    async def _request(self, question: Question, body: bytes, worst_cost: float) -> Outcome:
        limiter, cost = self._limiter, worst_cost
        sent_at = await limiter.acquire(worst_cost)
        try:
            raw = self._access.redact(await self._client.post(self._endpoint.path, body))
            outcome = self._endpoint.read(question, raw)
            cost = limiter.budget.cost(outcome.usage, worst_cost)
        except Refused as error:
            cost = 0.0
            if error.status == 429:
                limiter.reduce_limit(sent_at)
            raise
        except Unreachable as error:
            cost = worst_cost if error.sent else 0.0
            raise
        finally:
            limiter.release(worst_cost, cost)
        limiter.increase_limit()
        return outcome

    async def _wait(self, classified: Retry, attempt: int) -> None:
        if classified.after:
            self._limiter.pause(classified.after)  # a Retry-After applies to all workers
        else:
            await self._limiter.sleep(self._retry_policy.delay(attempt))


def _budget(access: Access, first: Question, environment: Mapping[str, str]) -> Budget:
    model = model_of(first.body)
    return Budget(model, read_price(model, environment), access.max_requests, access.max_cost)


def _failure_of(classified: Retry) -> Failure:
    if isinstance(classified.exhausted, UserError):
        raise classified.exhausted
    return classified.exhausted


def _too_many_failures(failures: int, last: Outcome, model_key: str) -> UserError:
    return UserError(
        f"{failures} requests in a row failed, the last one with: {last}",
        where=model_key,
        do=f"correct the setting or the request that the reply complains of; {KEPT}",
        code="failures-in-a-row",
    )
