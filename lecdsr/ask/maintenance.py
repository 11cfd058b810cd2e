"""Maintain the answer store: statistics, export, import, verification, pruning."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lecdsr.ask.jobs import delete_job, job_questions, open_jobs, read_results
from lecdsr.ask.reply import read_reply
from lecdsr.ask.request import request_key
from lecdsr.ask.store import Store
from lecdsr.ask.types import Answer, Outcome, Question
from lecdsr.core.errors import UserError
from lecdsr.core.files import atomic_path

_COLUMNS = ("key", "body", "reply", "created")
_AT_ONCE = 1000


def stats(store: Store) -> dict[str, object]:
    """Count answers and tokens by model, failures by reason, and open files and batches.

    Raises:
        UserError: the store cannot be read.
    """
    facts: dict[str, object] = {"store": str(store.path)}
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT model, count(*), sum(prompt_tokens), sum(completion_tokens) FROM answers GROUP BY model ORDER BY 1"
        ).fetchall()
        reasons = connection.execute("SELECT reason, count(*) FROM failures GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
        claimed = connection.execute("SELECT count(*) FROM claims WHERE until > ?", (time.time(),)).fetchone()[0]
    facts["answers"] = sum(row[1] for row in rows)
    for model, count, prompt, completion in rows:
        facts[f"  {model or 'model not named'}"] = f"{count:,} answers, {prompt:,} + {completion:,} tokens"
    facts["failures"] = sum(row[1] for row in reasons)
    facts |= {f"  {reason}": count for reason, count in reasons}
    facts["claimed by runs"] = claimed
    for job in open_jobs(store):
        facts[f"  {job.transport} {job.job}"] = f"{len(job_questions(store, job)):,} questions, {job.state}"
    return facts


def export(store: Store, path: Path) -> int:
    """Write every answer as a line of JSON with ``key, body, reply, created``, sorted by key; return their number.

    Raises:
        UserError: the store cannot be read or the file cannot be written.
    """
    count = 0
    try:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in _answers(store):
                file.write(json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False) + "\n")
                count += 1
    except OSError as error:
        raise UserError(
            f"the file cannot be written: {error.strerror}",
            where=str(path),
            do="choose a file in a folder that you can write",
        ) from error
    return count


@dataclass
class ImportReport:
    """Counts of the lines of an imported file: new answers, known answers, failures, refused lines."""

    answers: int = 0
    known: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def import_answers(store: Store, path: Path) -> ImportReport:
    """Import a file that :func:`export` wrote, or the results of a request file.

    Every line is verified: the key must be that of the body, and the reply must be an answer. Answers already in
    the store stay unchanged.

    Raises:
        UserError: the file cannot be read, or the store cannot be written.
    """
    report = ImportReport()
    handed_out = {name: question for job in open_jobs(store) for name, question in job_questions(store, job).items()}
    part: list[tuple[Question, Outcome]] = []
    for line in _lines(path):
        if (read := _read_line(line, handed_out, report)) is not None:
            part.append(read)
        if len(part) == _AT_ONCE:
            _take_in(store, part, report)
            part = []
    _take_in(store, part, report)
    _close_jobs(store)
    return report


def verify(store: Store) -> list[str]:
    """Check the file, all keys and all replies; return one line per fault.

    Raises:
        UserError: the store cannot be read.
    """
    with store.reading() as connection:
        sound = [row[0] for row in connection.execute("PRAGMA integrity_check").fetchall()]
    faults = [f"file: {line}" for line in sound if line != "ok"]
    for key, body, reply, _ in _answers(store):
        if request_key(body) != key:
            faults.append(f"{key}: the key does not match the question")
        elif not isinstance(outcome := read_reply(reply), Answer):
            faults.append(f"{key}: the reply is not an answer ({outcome})")
    return faults


def prune(store: Store, keep: set[str] | None) -> int:
    """Delete failures and open jobs, and with ``keep`` all answers of other keys; return the number of deleted answers.

    Raises:
        UserError: the store cannot be written.
    """
    for job in open_jobs(store):
        delete_job(store, job)
    deleted = [] if keep is None else [(row[0],) for row in _answers(store) if row[0] not in keep]
    with store.writing() as connection:
        connection.execute("DELETE FROM failures")
        connection.executemany("DELETE FROM answers WHERE key = ?", deleted)
    with store.reading() as connection:
        connection.execute("VACUUM")
    return len(deleted)


def _answers(store: Store) -> Iterator[tuple[str, str, str, float]]:
    """Yield every answer, sorted by key, with a thousand rows in memory at a time."""
    last = ""
    while True:
        with store.reading() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM answers WHERE key > ? ORDER BY key LIMIT {_AT_ONCE}", (last,)
            ).fetchall()
        yield from rows
        if not rows:
            return
        last = rows[-1][0]


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the file cannot be read: {error}",
            where=str(path),
            do="name a file that `lecdsr answers export` wrote, or the results of a request file",
        ) from error


def _read_line(line: str, handed_out: dict[str, Question], report: ImportReport) -> tuple[Question, Outcome] | None:
    if not line.strip():
        return None
    try:
        row: Any = json.loads(line)
    except ValueError:
        report.refused["not JSON"] += 1
        return None
    if isinstance(row, dict) and "custom_id" in row:
        for name, outcome in read_results([line]):
            if name in handed_out:
                return handed_out[name], outcome
        report.refused["result of a question that is in no open request file"] += 1
        return None
    return _exported(row, report)


def _exported(row: Any, report: ImportReport) -> tuple[Question, Outcome] | None:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("key", "body", "reply")):
        report.refused["neither an exported answer nor a result"] += 1
    elif request_key(row["body"]) != row["key"]:
        report.refused["the key does not match the question"] += 1
    elif not isinstance(outcome := read_reply(row["reply"]), Answer):
        report.refused["the reply is not an answer"] += 1
    else:
        return Question("", row["key"], row["body"], ""), outcome
    return None


def _take_in(store: Store, part: list[tuple[Question, Outcome]], report: ImportReport) -> None:
    known = {key for key, _ in store.answers([question.key for question, _ in part])}
    report.known += len(known)
    fresh = [(question, outcome) for question, outcome in part if question.key not in known]
    store.put(fresh)
    report.answers += sum(isinstance(outcome, Answer) for _, outcome in fresh)
    report.failures.update(outcome.reason for _, outcome in fresh if not isinstance(outcome, Answer))


def _close_jobs(store: Store) -> None:
    """Delete the jobs in which every question is answered or failed."""
    failed = {key for key, _ in store.failures()}
    for job in open_jobs(store, "files"):
        keys = [question.key for question in job_questions(store, job).values()]
        answered = {key for key, _ in store.answers(keys)}
        if all(key in answered or key in failed for key in keys):
            delete_job(store, job)
