"""Jobs: files of requests for a batch API or another machine, recorded in the store before they are sent."""

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

#: Longest request name that every server accepts: half of a hexadecimal SHA-256.
_CUSTOM_ID = 32
ENDPOINT = "/v1/chat/completions"

# planned: recorded, nothing sent. uploaded: the server has the file. submitted: the server works on it.
# written: the request file exists. A job is deleted once its results are stored.
State = Literal["planned", "uploaded", "submitted", "written"]


@dataclass(frozen=True)
class Job:
    """One file of requests; ``file`` and ``batch`` are its names on the server or the disk."""

    job: str
    transport: str
    server: str
    state: str
    file: str | None
    batch: str | None
    created: float


def create_job(
    store: Store, questions: Sequence[Question], transport: str, server: str, state: State = "planned"
) -> Job:
    """Record a new job with its questions.

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


def update_job(store: Store, job: Job, state: State, file: str | None, batch: str | None) -> Job:
    """Record the new state of a job.

    Raises:
        UserError: the store cannot be written.
    """
    with store.writing() as connection:
        connection.execute(
            "UPDATE jobs SET state = ?, file = ?, batch = ? WHERE job = ?", (state, file, batch, job.job)
        )
    return Job(job.job, job.transport, job.server, state, file, batch, job.created)


def delete_job(store: Store, job: Job) -> None:
    """Delete a job whose results are stored.

    Raises:
        UserError: the store cannot be written.
    """
    with store.writing() as connection:
        connection.execute("DELETE FROM jobs WHERE job = ?", (job.job,))
        connection.execute("DELETE FROM job_items WHERE job = ?", (job.job,))


def open_jobs(store: Store, transport: str | None = None) -> list[Job]:
    """List the jobs whose results are not all stored, oldest first.

    Raises:
        UserError: the store cannot be read.
    """
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM jobs ORDER BY created, job").fetchall()
    return [job for job in (Job(*row) for row in rows) if transport in (None, job.transport)]


def reload_job(store: Store, job: Job) -> Job | None:
    """Return the current state of a job; None once its results are stored.

    Raises:
        UserError: the store cannot be read.
    """
    return next((found for found in open_jobs(store) if found.job == job.job), None)


def job_questions(store: Store, job: Job) -> dict[str, Question]:
    """Return the questions of a job, keyed and sorted by their name in the job's file.

    Raises:
        UserError: the store cannot be read.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT custom_id, key, body FROM job_items WHERE job = ? ORDER BY custom_id", (job.job,)
        ).fetchall()
    return {custom_id: Question("", key, body, "") for custom_id, key, body in rows}


def keys_in_open_jobs(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Return the keys that are in an open job, with the transport of that job.

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
    """Format one line of a request file for the batch API of OpenAI and ``vllm run-batch``."""
    request = {
        "custom_id": question.key[:_CUSTOM_ID],
        "method": "POST",
        "url": ENDPOINT,
        "body": sent_part(question.body),
    }
    return json.dumps(request, ensure_ascii=False) + "\n"


def read_results(lines: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    """Yield the name and outcome of each result; skip lines that are not results."""
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
