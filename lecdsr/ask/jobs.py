"""Questions that left as a file, to a batch API or to a machine elsewhere: on the disk before they leave."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lecdsr.ask.reply import plain, read_reply
from lecdsr.ask.request import sent_part
from lecdsr.ask.store import Store, chunks
from lecdsr.ask.types import Failure, Outcome, Question

#: Longest name that every server takes for a request; of a SHA-256 it is half.
_CUSTOM_ID = 32
ENDPOINT = "/v1/chat/completions"

# planned: written down, nothing sent. uploaded: the server has the file. submitted: it works on it.
# written: handed out as a file. A job ends by being deleted, once its results are stored.
State = Literal["planned", "uploaded", "submitted", "written"]


@dataclass(frozen=True)
class Job:
    """One file of requests; ``file`` and ``batch`` are the names that the server, or the disk, has for them."""

    job: str
    transport: str
    server: str
    state: str
    file: str | None
    batch: str | None
    created: float


def plan(store: Store, questions: Sequence[Question], transport: str, server: str, state: State = "planned") -> Job:
    """Write down a new job with its questions.

    Raises:
        UserError: the store cannot be written.
    """
    job = Job(secrets.token_hex(8), transport, server, state, None, None, time.time())
    items = [(question.key[:_CUSTOM_ID], job.job, question.key, question.body) for question in questions]
    with store.writing() as connection:
        row = (job.job, job.transport, job.server, job.state, job.file, job.batch, job.created)
        connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        connection.executemany("INSERT INTO job_items VALUES (?, ?, ?, ?)", items)
    return job


def advance(store: Store, job: Job, state: State, file: str | None, batch: str | None) -> Job:
    """Write down how far a job has come.

    Raises:
        UserError: the store cannot be written.
    """
    with store.writing() as connection:
        connection.execute(
            "UPDATE jobs SET state = ?, file = ?, batch = ? WHERE job = ?", (state, file, batch, job.job)
        )
    return Job(job.job, job.transport, job.server, state, file, batch, job.created)


def finish(store: Store, job: Job) -> None:
    """Forget a job whose results are stored.

    Raises:
        UserError: the store cannot be written.
    """
    with store.writing() as connection:
        connection.execute("DELETE FROM jobs WHERE job = ?", (job.job,))
        connection.execute("DELETE FROM job_items WHERE job = ?", (job.job,))


def open_jobs(store: Store, transport: str | None = None) -> list[Job]:
    """Jobs whose results are not all stored, the oldest first.

    Raises:
        UserError: the store cannot be read.
    """
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM jobs ORDER BY created, job").fetchall()
    return [job for job in (Job(*row) for row in rows) if transport in (None, job.transport)]


def job_of(store: Store, job: Job) -> Job | None:
    """The job as it stands in the store now; None once its results are stored.

    Raises:
        UserError: the store cannot be read.
    """
    return next((found for found in open_jobs(store) if found.job == job.job), None)


def items_of(store: Store, job: Job) -> dict[str, Question]:
    """The questions of a job by the name they have in its file, ordered by that name.

    Raises:
        UserError: the store cannot be read.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT custom_id, key, body FROM job_items WHERE job = ? ORDER BY custom_id", (job.job,)
        ).fetchall()
    return {custom_id: Question("", key, body, "") for custom_id, key, body in rows}


def under_way(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Those of the keys that lie in an open job, with the transport of that job.

    Raises:
        UserError: the store cannot be read.
    """
    found: dict[str, str] = {}
    for chunk in chunks(list(keys)):
        marks = ",".join("?" * len(chunk))
        with store.reading() as connection:
            found.update(
                connection.execute(
                    f"SELECT key, transport FROM job_items JOIN jobs USING (job) WHERE key IN ({marks})", chunk
                ).fetchall()
            )
    return found


def request_line(question: Question) -> str:
    """One line of a file of requests, as the batch API of OpenAI and ``vllm run-batch`` take it."""
    request = {
        "custom_id": question.key[:_CUSTOM_ID],
        "method": "POST",
        "url": ENDPOINT,
        "body": sent_part(question.body),
    }
    return json.dumps(request, ensure_ascii=False) + "\n"


def read_results(lines: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    """Yield each result's name and outcome; lines that are no result are left out."""
    for line in lines:
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if isinstance(result, dict) and isinstance(result.get("custom_id"), str):
            yield result["custom_id"], _outcome(result)


def _outcome(result: dict[str, Any]) -> Outcome:
    response = result.get("response")
    response = response if isinstance(response, dict) else {}
    body, status = response.get("body"), response.get("status_code", 200)
    if status == 200 and isinstance(body, dict) and not result.get("error"):
        return read_reply(json.dumps(body, ensure_ascii=False))
    error = result.get("error") or (body.get("error", body) if isinstance(body, dict) else body)
    message = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    reason = "expired" if code == "batch_expired" else f"request refused ({status})"
    return Failure(reason, plain(str(message or code or ""), 200), json.dumps(result, ensure_ascii=False))
