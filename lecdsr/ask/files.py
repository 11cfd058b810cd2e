"""Questions handed out as files, for ``vllm run-batch``, a vendor's console or a cluster without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lecdsr.ask.jobs import Job, advance, items_of, open_jobs, plan, request_line, under_way
from lecdsr.ask.store import Store
from lecdsr.ask.types import Outcome, Question
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path

#: Requests in a file: several tools write their results at the end alone, so a file is what a crash costs.
SHARD = 2_000


class FilesProvider:
    """Provider that writes questions to ``requests-JOB.jsonl`` beside the store, and leaves it at that."""

    name = "openai"
    title = "files of requests"
    spent = 0.0

    def __init__(self, store: Store, shard: int = SHARD) -> None:
        self._store, self._shard = store, shard
        self._shut: BaseException | None = None

    def shut(self, reason: BaseException) -> None:
        """Write nothing further."""
        self._shut = self._shut or reason

    def answer(self, questions: Iterable[Question]) -> Iterator[list[tuple[Question, Outcome]]]:
        """Write every question that is in no file yet.

        Raises:
            UserError: always: the answers come later, through ``lecdsr answers import``.
        """
        fresh = self._not_under_way(questions)
        while self._shut is None and (part := list(islice(fresh, self._shard))):
            job = plan(self._store, part, "files", "", "planned")
            self._write(job)
            advance(self._store, job, "written", str(self._path(job.job)), None)
            yield []
        if self._shut is not None:
            raise self._shut
        jobs = open_jobs(self._store, "files")
        for job in jobs:
            if not self._path(job.job).exists():  # killed between the note and the file, or deleted since
                self._write(job)
        raise UserError(
            f"the questions are written to {len(jobs)} file(s), {self._path('*').name}; their answers are awaited",
            where=str(self._path("*").parent),
            do="have them answered, for example by `vllm run-batch -i FILE -o RESULT --model NAME`; then "
            "`lecdsr answers import RESULT` and run this again",
        )

    def _not_under_way(self, questions: Iterable[Question]) -> Iterator[Question]:
        iterator = iter(questions)
        while part := list(islice(iterator, self._shard)):
            held = under_way(self._store, [question.key for question in part])
            yield from (question for question in part if question.key not in held)

    def _path(self, job: str) -> Path:
        return self._store.path.parent / "requests" / f"requests-{job}.jsonl"

    def _write(self, job: Job) -> None:
        """From the store alone, so that a file written again is the same."""
        lines = [request_line(question) for question in items_of(self._store, job).values()]
        with atomic_path(self._path(job.job)) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
