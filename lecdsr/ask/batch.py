"""Ask through the batch API: half the price, answers within a day. Safe to kill and restart at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import openai

from lecdsr.ask.access import BASE_URL, MAX_COST, Access, read_access
from lecdsr.ask.budget import Budget, BudgetReached
from lecdsr.ask.claims import Claims
from lecdsr.ask.client import Refused, TimedOut, Unreachable
from lecdsr.ask.errors import KEPT, Retry, classify_error
from lecdsr.ask.jobs import (
    Job,
    create_job,
    delete_job,
    job_questions,
    keys_in_open_jobs,
    open_jobs,
    read_results,
    reload_job,
    request_line,
    update_job,
)
from lecdsr.ask.prices import read_price
from lecdsr.ask.reply import plain
from lecdsr.ask.request import model_of, sent_part
from lecdsr.ask.store import Store
from lecdsr.ask.types import Failure, Outcome, Question, Usage
from lecdsr.core.console import say
from lecdsr.core.errors import UserError

T = TypeVar("T")
#: Limits of the batch API for one file; the limit on bytes leaves a margin.
MOST_REQUESTS, MOST_BYTES = 50_000, 150_000_000
_ENDED = {"completed", "failed", "expired", "cancelled"}
_ATTEMPTS = 8
_LONGEST_PAUSE_S = 30.0
# Seconds between checks of a job that another run is submitting.
_LOOK_S = 0.2
# Outcomes stored together while a result file is read.
_STORED_AT_ONCE = 512


class BatchProvider:
    """Provider that submits files of questions, waits for the results, and resumes the batches of an earlier run.

    Every step is recorded in the store before the next one starts. If the process is killed between a step and its
    record, the next run asks the server what it has: files by name, batches by label.
    """

    name = "openai"
    title = "batches of a server with the OpenAI API"

    def __init__(self, environment: Mapping[str, str], store: Store, poll_s: float = 30.0) -> None:
        self._environment, self._store, self._poll_s = environment, store, poll_s
        self._stop_reason: BaseException | None = None
        self._woken = threading.Event()
        self._budget: Budget | None = None

    @property
    def spent(self) -> float:
        """US dollars of the results collected, at the price of batches."""
        return self._budget.spent if self._budget else 0.0

    def stop(self, reason: BaseException) -> None:
        """Submit nothing more and stop waiting; a later run collects the batches under way."""
        self._stop_reason = self._stop_reason or reason
        self._woken.set()

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Submit the questions that are in no open job, then collect the results of every open job of this server.

        Raises:
            BudgetReached: the caps did not allow all questions; the results of the submitted ones
                have been yielded.
            UserError: the server refuses or cannot be reached, or the open jobs belong to another server.
        """
        self._check_stopped()
        access = read_access(self._environment)
        client = openai.OpenAI(api_key=access.key, base_url=access.base_url, timeout=access.timeout_s, max_retries=0)
        with client:
            server = _Server(client, access, self._check_stopped, self._woken)
            capped = self._plan(questions, access)
            jobs = open_jobs(self._store, "batch")
            if other := next((job.server for job in jobs if job.server != access.host), None):
                raise UserError(
                    f"an unfinished batch is on another server: {other}, not {access.host}",
                    where=BASE_URL,
                    do=f"set it to {other} to collect that batch, or discard the batch with `lecdsr answers prune`",
                    code="open-jobs",
                )
            submitted = [self._submit(server, job) for job in jobs]
            yield from self._collect(server, [job for job in submitted if job is not None])
        if capped is not None:
            raise capped

    def _plan(self, questions: Iterable[Question], access: Access) -> BudgetReached | None:
        """Create jobs for all questions that are in no open job, as far as the caps allow."""
        fresh, size = list[Question](), 0
        capped: BudgetReached | None = None
        for question in self._not_in_open_jobs(questions):
            self._budget = self._budget or self._new_budget(question, access)
            request = sent_part(question.body)
            line = request_line(question)
            worst_cost = self._budget.worst_cost(line.encode(), int(request.get("max_tokens", 0)))
            try:
                if not self._budget.has_room(worst_cost):
                    raise _cap_on_cost(access)
            except BudgetReached as reached:
                capped = reached
                break
            self._budget.reserve(worst_cost)
            if len(fresh) == MOST_REQUESTS or size + len(line.encode()) > MOST_BYTES:
                create_job(self._store, fresh, "batch", access.host)
                fresh, size = [], 0
            fresh.append(question)
            size += len(line.encode())
        if fresh:
            create_job(self._store, fresh, "batch", access.host)
        return capped

    def _not_in_open_jobs(self, questions: Iterable[Question]) -> Iterator[Question]:
        iterator = iter(questions)
        while part := list(islice(iterator, _STORED_AT_ONCE)):
            held = keys_in_open_jobs(self._store, [question.key for question in part])
            yield from (question for question in part if question.key not in held)

    def _submit(self, server: _Server, job: Job) -> Job | None:
        """Submit a job, or wait until another run has submitted it; return None if it is finished by then.

        Only one run at a time submits a job: two runs would both find no batch of it, and each would pay for one.
        """
        # Renewed before every request, so the lease must cover the longest request and the pause before it.
        claims = Claims(self._store, lease_s=2 * server.timeout_s + _LONGEST_PAUSE_S)
        waited, current = False, reload_job(self._store, job)
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
            self._check_stopped()
            current = reload_job(self._store, job)
        return current

    def _submit_claimed(self, server: _Server, job: Job, claims: Claims) -> Job | None:
        """Resume a job in the state in which another run left it; return it submitted, or None if it is finished."""
        current = reload_job(self._store, job)  # no other run changes the state from here on
        if current is None:
            return None
        if current.state == "planned":
            lines = [request_line(question) for question in job_questions(self._store, current).values()]
            name = _file_name(current)
            file = server.find_file(name) or server.upload(name, "".join(lines).encode())
            current = update_job(self._store, current, "uploaded", file, None)
        if current.state == "uploaded" and current.file is not None:
            batch = server.create(current.file, current.job, claims.hold)
            if batch is None:
                return current  # the claim was lost meanwhile: the run that holds it submits
            current = update_job(self._store, current, "submitted", current.file, batch)
            say(f"batch {batch}: {len(job_questions(self._store, current)):,} questions submitted")
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
            yield []  # lets the caller renew its claims and update the progress line
            self._check_stopped()
            if jobs:
                self._woken.wait(min(1.0, self._poll_s))

    def _results(self, server: _Server, job: Job, batch: Any) -> Iterator[list[tuple[Question, Outcome]]]:
        """Read the outcome of every question of a batch that ended; a question without a result fails with a reason."""
        items = job_questions(self._store, job)
        part: list[tuple[Question, Outcome]] = []
        for file in (batch.output_file_id, batch.error_file_id):
            for custom_id, outcome in read_results(server.lines(file)) if file else ():
                if question := items.pop(custom_id, None):
                    part.append((question, outcome))
                    self._count(outcome.usage)
                if len(part) == _STORED_AT_ONCE:
                    yield part
                    part = []
        missing = Failure(f"batch {batch.status}", _errors_of(batch))
        yield part + [(question, missing) for question in items.values()]
        delete_job(self._store, job)  # reached only when the reader has stored the last part

    def _count(self, usage: Usage) -> None:
        if self._budget is not None:
            self._budget.spent += self._budget.cost(usage, 0.0)

    def _new_budget(self, question: Question, access: Access) -> Budget:
        model = model_of(question.body)
        price = read_price(model, self._environment)
        return Budget(model, price.batched() if price else None, access.max_requests, access.max_cost)

    def _check_stopped(self) -> None:
        if self._stop_reason is not None:
            raise self._stop_reason


class _Server:
    """Files and batches of one server; temporary errors are retried."""

    def __init__(
        self, client: openai.OpenAI, access: Access, check: Callable[[], None], woken: threading.Event
    ) -> None:
        self._client, self._access, self._check, self._woken = client, access, check, woken

    def find_file(self, name: str) -> str | None:
        files = self._call(lambda: list(self._client.files.list(purpose="batch")))
        return next((file.id for file in files if file.filename == name), None)

    def upload(self, name: str, content: bytes) -> str:
        # If the reply is lost, a retry uploads a second copy. It costs nothing: only batches are paid for.
        return self._call(lambda: self._client.files.create(file=(name, content), purpose="batch")).id

    @property
    def timeout_s(self) -> float:
        """Seconds that one request may take."""
        return self._access.timeout_s

    def create(self, file: str, label: str, hold: Callable[[], bool]) -> str | None:
        """Return the batch of a job, created if needed; None if ``hold`` reports that this run lost its claim."""

        def once() -> str | None:
            if not hold():
                return None
            # Look for the batch before every attempt: an earlier attempt whose reply was lost may have created it.
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
                classified = classify_error(_plain_error(error), self._access, "of the batch")
            if isinstance(classified, Failure):
                raise UserError(
                    f"the server refused the batch: {classified}",
                    where=self._access.host,
                    do=f"correct the setting that it names, or set LECDSR_LLM_TRANSPORT to sync; {KEPT}",
                )
            if isinstance(classified, UserError):
                raise classified
            if attempt == _ATTEMPTS:
                raise _exhausted(classified)
            self._woken.wait(classified.after or min(_LONGEST_PAUSE_S, 0.5 * 2.0**attempt))


def _plain_error(error: openai.OpenAIError) -> Refused | TimedOut | Unreachable:
    if isinstance(error, openai.APIStatusError):
        return Refused(error.status_code, error.response.text, error.response.headers)
    return TimedOut() if isinstance(error, openai.APITimeoutError) else Unreachable(sent=True)


def _exhausted(classified: Retry) -> UserError:
    if isinstance(classified.exhausted, UserError):
        return classified.exhausted
    return UserError(
        f"the server failed again after {_ATTEMPTS} attempts: {classified.exhausted}",
        where=BASE_URL,
        do=f"check the server, or wait; {KEPT}",
    )


def _cap_on_cost(access: Access) -> BudgetReached:
    return BudgetReached(
        f"the limit of {access.max_cost:g} USD is reached: the submitted questions may cost that much, and some remain",
        where=MAX_COST,
        do=f"raise it, or run again when these are answered: the actual cost is usually lower; {KEPT}",
    )


def _file_name(job: Job) -> str:
    return f"lecdsr-{job.job}.jsonl"


def _label(batch: Any) -> str | None:
    return (batch.metadata or {}).get("lecdsr")


def _errors_of(batch: Any) -> str:
    errors = getattr(batch.errors, "data", None) or []
    return plain("; ".join(str(error.message) for error in errors if error.message), 200)
