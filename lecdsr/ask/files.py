"""Write questions to request files, for ``vllm run-batch``, a vendor's console or a cluster without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lecdsr.ask.jobs import Job, create_job, job_questions, keys_in_open_jobs, open_jobs, request_line, update_job
from lecdsr.ask.store import Store
from lecdsr.ask.types import Outcome, Question
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path

#: Questions per request file. Several tools write their results only at the end, so a crash loses one file.
REQUESTS_PER_FILE = 2_000


class FilesProvider:
    """Provider that writes questions to ``requests-JOB.jsonl`` next to the store; the answers are imported later."""

    name = "openai"
    title = "files of requests"
    spent = 0.0

    def __init__(self, store: Store, requests_per_file: int = REQUESTS_PER_FILE) -> None:
        self._store, self._requests_per_file = store, requests_per_file
        self._stop_reason: BaseException | None = None

    def stop(self, reason: BaseException) -> None:
        """Write no further file."""
        self._stop_reason = self._stop_reason or reason

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Write every question that is in no file yet.

        Raises:
            UserError: always, since the answers come later, through ``lecdsr answers import``.
        """
        fresh = self._not_in_open_jobs(questions)
        while self._stop_reason is None and (part := list(islice(fresh, self._requests_per_file))):
            job = create_job(self._store, part, "files", "", "planned")
            self._write(job)
            update_job(self._store, job, "written", str(self._path(job.job)), None)
            yield []
        if self._stop_reason is not None:
            raise self._stop_reason
        jobs = open_jobs(self._store, "files")
        for job in jobs:
            if not self._path(job.job).exists():  # killed between the record and the file, or deleted since
                self._write(job)
        raise UserError(
            f"the questions are in {len(jobs)} files ({self._path('*').name}) and have no answers yet",
            where=str(self._path("*").parent),
            do="answer each file, for example with `vllm run-batch -i FILE -o RESULT --model NAME`, import the results "
            "with `lecdsr answers import RESULT`, and run this again",
            code="answers-pending",
        )

    def _not_in_open_jobs(self, questions: Iterable[Question]) -> Iterator[Question]:
        iterator = iter(questions)
        while part := list(islice(iterator, self._requests_per_file)):
            held = keys_in_open_jobs(self._store, [question.key for question in part])
            yield from (question for question in part if question.key not in held)

    def _path(self, job: str) -> Path:
        return self._store.path.parent / "requests" / f"requests-{job}.jsonl"

    def _write(self, job: Job) -> None:
        """Write the request file of a job from the store alone, so that writing it again gives the same file."""
        lines = [request_line(question) for question in job_questions(self._store, job).values()]
        with atomic_path(self._path(job.job)) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
