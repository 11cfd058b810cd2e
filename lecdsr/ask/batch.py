"""The batch API: half the price for an answer within a day. Safe to kill and to start again at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import openai

from lecdsr.ask.access import BASE_URL, Access, read_access
from lecdsr.ask.budget import Budget, BudgetReached
from lecdsr.ask.claims import Claims
from lecdsr.ask.client import Refused, TimedOut, Unreachable
from lecdsr.ask.errors import KEPT, Retry, validator
from lecdsr.ask.jobs import (
    Job,
    advance,
    finish,
    items_of,
    job_of,
    open_jobs,
    plan,
    read_results,
    request_line,
    under_way,
)
from lecdsr.ask.prices import read_price
from lecdsr.ask.reply import plain
from lecdsr.ask.request import model_of, sent_part
from lecdsr.ask.store import Store
from lecdsr.ask.types import Failure, Outcome, Question, Usage
from lecdsr.core.console import say
from lecdsr.core.errors import UserError

T = TypeVar("T")
#: What the API allows in one file, with room to spare for its bytes.
MOST_REQUESTS, MOST_BYTES = 50_000, 150_000_000
_ENDED = {"completed", "failed", "expired", "cancelled"}
_ATTEMPTS = 8
_LONGEST_PAUSE_S = 30.0
# Seconds between looks at a job that another run is submitting.
_LOOK_S = 0.2
# Outcomes stored together while a result file is read.
_STORED_AT_ONCE = 512


class BatchProvider:
    """Provider that submits files of questions, waits for them, and goes on with those of an earlier run.

    Every step is in the store before the next is taken. A kill between a step and its note is
    mended by asking the server what it has: files by their name, batches by their label.
    """

    name = "openai"
    title = "batches of a server with the OpenAI API"

    def __init__(self, environment: Mapping[str, str], store: Store, poll_s: float = 30.0) -> None:
        self._environment, self._store, self._poll_s = environment, store, poll_s
        self._shut: BaseException | None = None
        self._woken = threading.Event()
        self._budget: Budget | None = None

    @property
    def spent(self) -> float:
        """US dollars of the results collected, at the price of batches."""
        return self._budget.spent if self._budget else 0.0

    def shut(self, reason: BaseException) -> None:
        """Submit nothing more and stop waiting; what the server works on is collected by a later run."""
        self._shut = self._shut or reason
        self._woken.set()

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Submit what no open job holds, then collect every open job of this server.

        Raises:
            BudgetReached: not all could be submitted under the caps; the results of those that
                were have been yielded.
            UserError: the server refuses, cannot be reached, or another server has the open jobs.
        """
        self._check_shut()
        access = read_access(self._environment)
        client = openai.OpenAI(api_key=access.key, base_url=access.base_url, timeout=access.timeout_s, max_retries=0)
        with client:
            server = _Server(client, access, self._check_shut, self._woken)
            capped = self._plan(questions, access)
            jobs = open_jobs(self._store, "batch")
            if other := next((job.server for job in jobs if job.server != access.host), None):
                raise UserError(
                    f"a batch is under way at {other}, not at {access.host}",
                    where=BASE_URL,
                    do="set the address back and collect it, or drop it: `lecdsr answers prune`",
                )
            submitted = [self._submit(server, job) for job in jobs]
            yield from self._collect(server, [job for job in submitted if job is not None])
        if capped is not None:
            raise capped

    def _plan(self, questions: Iterable[Question], access: Access) -> BudgetReached | None:
        """Write down jobs for all questions that lie in none and that the caps allow."""
        fresh, size = list[Question](), 0
        capped: BudgetReached | None = None
        for question in self._not_under_way(questions):
            self._budget = self._budget or self._new_budget(question, access)
            request = sent_part(question.body)
            line = request_line(question)
            worst = self._budget.worst(line.encode(), int(request.get("max_tokens", 0)))
            try:
                if not self._budget.has_room(worst):
                    raise _cap_on_cost(access)
            except BudgetReached as reached:
                capped = reached
                break
            self._budget.reserve(worst)
            if len(fresh) == MOST_REQUESTS or size + len(line.encode()) > MOST_BYTES:
                plan(self._store, fresh, "batch", access.host)
                fresh, size = [], 0
            fresh.append(question)
            size += len(line.encode())
        if fresh:
            plan(self._store, fresh, "batch", access.host)
        return capped

    def _not_under_way(self, questions: Iterable[Question]) -> Iterator[Question]:
        iterator = iter(questions)
        while part := list(islice(iterator, _STORED_AT_ONCE)):
            held = under_way(self._store, [question.key for question in part])
            yield from (question for question in part if question.key not in held)

    def _submit(self, server: _Server, job: Job) -> Job | None:
        """Bring a job to the state ``submitted``, or wait until another run has; None if it is done by then.

        One run at a time submits a job: two would both find no batch of it, and each pay for one.
        """
        # Renewed before every request, so that it outlasts the longest one and the pause before it.
        claims = Claims(self._store, lease_s=2 * server.timeout_s + _LONGEST_PAUSE_S)
        waited, current = False, job_of(self._store, job)
        while current is not None and current.state != "submitted":
            if claims.take([f"job {job.job}"]):
                try:
                    current = self._submit_claimed(server, job, claims)
                finally:
                    self._store.if_open(claims.release)
                continue
            if not waited:
                say("another run is submitting the questions; waiting for it")
                waited = True
            self._woken.wait(_LOOK_S)
            self._check_shut()
            current = job_of(self._store, job)
        return current

    def _submit_claimed(self, server: _Server, job: Job, claims: Claims) -> Job | None:
        """Go on from wherever another run, or an earlier one, left the job; submitted, or done."""
        current = job_of(self._store, job)  # as it is now that nobody else changes it
        if current is None:
            return None
        if current.state == "planned":
            lines = [request_line(question) for question in items_of(self._store, current).values()]
            name = _file_name(current)
            file = server.find_file(name) or server.upload(name, "".join(lines).encode())
            current = advance(self._store, current, "uploaded", file, None)
        if current.state == "uploaded" and current.file is not None:
            batch = server.create(current.file, current.job, claims.hold)
            if batch is None:
                return current  # the claim was lost meanwhile: whoever has it submits
            current = advance(self._store, current, "submitted", current.file, batch)
            say(f"batch {batch}: {len(items_of(self._store, current)):,} questions submitted")
        return current

    def _collect(self, server: _Server, jobs: list[Job]) -> Iterator[list[tuple[Question, Outcome]]]:
        looked_at: float | None = None
        while jobs:
            if looked_at is None or time.monotonic() - looked_at >= self._poll_s:
                looked_at = time.monotonic()
                for job in list(jobs):
                    batch = server.batch(job)
                    if batch.status in _ENDED:
                        yield from self._results(server, job, batch)
                        jobs.remove(job)
            yield []  # the reader looks around: claims are renewed, the live line moves
            self._check_shut()
            if jobs:
                self._woken.wait(min(1.0, self._poll_s))

    def _results(self, server: _Server, job: Job, batch: Any) -> Iterator[list[tuple[Question, Outcome]]]:
        """What a batch that ended has for each of its questions; a reason for those it has nothing for."""
        items = items_of(self._store, job)
        part: list[tuple[Question, Outcome]] = []
        for file in (batch.output_file_id, batch.error_file_id):
            for custom_id, outcome in read_results(server.lines(file)) if file else ():
                if question := items.pop(custom_id, None):
                    part.append((question, outcome))
                    self._count(outcome.usage)
                if len(part) == _STORED_AT_ONCE:
                    yield part
                    part = []
        why = Failure(f"batch {batch.status}", _errors_of(batch))
        yield part + [(question, why) for question in items.values()]
        finish(self._store, job)  # reached only when the reader has stored the last part

    def _count(self, usage: Usage) -> None:
        if self._budget is not None:
            self._budget.spent += self._budget.cost(usage, 0.0)

    def _new_budget(self, question: Question, access: Access) -> Budget:
        model = model_of(question.body)
        price = read_price(model, self._environment)
        return Budget(model, price.batched() if price else None, access.max_requests, access.max_cost)

    def _check_shut(self) -> None:
        if self._shut is not None:
            raise self._shut


class _Server:
    """The files and batches of one server; what is no fault of ours is tried again."""

    def __init__(
        self, client: openai.OpenAI, access: Access, check: Callable[[], None], woken: threading.Event
    ) -> None:
        self._client, self._access, self._check, self._woken = client, access, check, woken

    def find_file(self, name: str) -> str | None:
        files = self._call(lambda: list(self._client.files.list(purpose="batch")))
        return next((file.id for file in files if file.filename == name), None)

    def upload(self, name: str, content: bytes) -> str:
        # A lost reply would leave a second copy behind, which costs nothing: only batches are paid.
        return self._call(lambda: self._client.files.create(file=(name, content), purpose="batch")).id

    @property
    def timeout_s(self) -> float:
        """Seconds that one request may take."""
        return self._access.timeout_s

    def create(self, file: str, label: str, hold: Callable[[], bool]) -> str | None:
        """The batch of a job; None if ``hold`` says that the job is no longer ours, so that nothing was created."""

        def once() -> str | None:
            if not hold():
                return None
            # Looked up before every attempt: an attempt whose reply was lost may have made it.
            found = next((made.id for made in self._client.batches.list(limit=100) if _label(made) == label), None)
            if found is not None:
                return found
            if not hold():
                return None
            made = self._client.batches.create(
                input_file_id=file,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"lecdsr": label},
            )
            return made.id

        return self._call(once)

    def batch(self, job: Job) -> Any:
        return self._call(lambda: self._client.batches.retrieve(str(job.batch)))

    def lines(self, file: str) -> list[str]:
        content = self._call(lambda: self._client.files.content(file).read())
        return self._access.redact(content.decode("utf-8", "replace")).split("\n")

    def _call(self, send: Callable[[], T]) -> T:
        attempt = 0
        while True:
            self._check()
            attempt += 1
            try:
                return send()
            except openai.OpenAIError as error:
                verdict = validator(_plain_error(error), self._access, "of the batch")
            if isinstance(verdict, Failure):
                raise UserError(f"the server refuses a batch: {verdict}", where=self._access.host, do=KEPT)
            if isinstance(verdict, UserError):
                raise verdict
            if attempt == _ATTEMPTS:
                raise _exhausted(verdict)
            self._woken.wait(verdict.after or min(_LONGEST_PAUSE_S, 0.5 * 2.0**attempt))


def _plain_error(error: openai.OpenAIError) -> Refused | TimedOut | Unreachable:
    if isinstance(error, openai.APIStatusError):
        return Refused(error.status_code, error.response.text, error.response.headers)
    return TimedOut() if isinstance(error, openai.APITimeoutError) else Unreachable(sent=True)


def _exhausted(verdict: Retry) -> UserError:
    if isinstance(verdict.exhausted, UserError):
        return verdict.exhausted
    return UserError(f"the server keeps failing: {verdict.exhausted}", do=KEPT)


def _cap_on_cost(access: Access) -> BudgetReached:
    return BudgetReached(
        f"what is submitted may cost the cap of {access.max_cost:g} USD, and questions are left",
        where="LECDSR_LLM_MAX_COST",
        do=f"raise it, or run again: what was cheaper than its worst case makes room; {KEPT}",
    )


def _file_name(job: Job) -> str:
    return f"lecdsr-{job.job}.jsonl"


def _label(batch: Any) -> str | None:
    return (batch.metadata or {}).get("lecdsr")


def _errors_of(batch: Any) -> str:
    errors = getattr(batch.errors, "data", None) or []
    return plain("; ".join(str(error.message) for error in errors if error.message), 200)
