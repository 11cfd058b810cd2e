"""Answer store: a SQLite file of paid answers, keyed by question and kept outside the outputs of DVC."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lecdsr.ask.reply import read_reply
from lecdsr.ask.types import Answer, Failure, Outcome, Question
from lecdsr.core.errors import UserError
from lecdsr.core.paths import store_root

FOLDER = "LECDSR_LLM_STORE"
#: Version 1 had only answers and failures; the tables added since are created if absent.
VERSION = 2
_READABLE = (0, 1, VERSION)
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    reply TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    model TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    key TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    reply TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY,
    transport TEXT NOT NULL,
    server TEXT NOT NULL,
    state TEXT NOT NULL,
    file TEXT,
    batch TEXT,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job_items (
    custom_id TEXT NOT NULL,
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (custom_id, job)
) WITHOUT ROWID;
"""
# SQLite limits the number of values in one statement.
_CHUNK = 500


def store_folder(environment: Mapping[str, str]) -> Path:
    """Return ``$LECDSR_LLM_STORE``, else ``.llm-store`` in the user's repository."""
    return store_root() / Path(environment.get(FOLDER) or ".llm-store").expanduser()


class Store:
    """Answers and failures in one SQLite file; once :meth:`put` returns, its outcomes are on the disk.

    Several threads and processes may use the file. Failures are kept for listing; the next run asks them again.

    Raises:
        UserError: the file cannot be opened or is not an answer store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.sqlite"
        self._lock = threading.Lock()
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            # WAL survives a kill at any moment; FULL also a power cut.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_TABLES)
            self._check_version()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lock the connection and yield it for one query, whose rows must all be read.

        Raises:
            UserError: the file cannot be read.
        """
        with self._lock, self._guarded():
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one transaction, which is committed as a whole or rolled back.

        Raises:
            UserError: the file cannot be written.
        """
        with self._lock, self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def answers(self, keys: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        """Yield each key that has an answer, together with the answer, in no particular order.

        Raises:
            UserError: the file cannot be read.
        """
        for chunk in chunks(keys):
            marks = ",".join("?" * len(chunk))
            with self.reading() as connection:
                rows = connection.execute(f"SELECT key, reply FROM answers WHERE key IN ({marks})", chunk).fetchall()
            for key, reply in rows:
                answer = read_reply(reply)
                if isinstance(answer, Answer):
                    yield key, answer

    def put(self, outcomes: Iterable[tuple[Question, Outcome]]) -> None:
        """Commit outcomes together and release the claims on their questions.

        An answer deletes a failure of the same key; a failure never changes an answer.

        Raises:
            UserError: the file cannot be written.
        """
        answers, failures, keys = [], [], []
        now = time.time()
        for question, outcome in outcomes:
            keys.append((question.key,))
            usage = (outcome.usage.prompt_tokens, outcome.usage.completion_tokens)
            if isinstance(outcome, Answer):
                row = (question.key, question.body, outcome.reply, *usage, outcome.model, outcome.finish_reason, now)
                answers.append(row)
            else:
                reason = (outcome.reason, outcome.detail, outcome.reply)
                failures.append((question.key, question.body, *reason, *usage, now))
        with self.writing() as connection:
            # An existing answer was paid for earlier, and other tables may depend on it.
            connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", answers)
            connection.executemany("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", failures)
            connection.executemany("DELETE FROM failures WHERE key = ?", [row[:1] for row in answers])
            connection.executemany("DELETE FROM claims WHERE key = ?", keys)

    def failures(self, since: float = 0.0) -> list[tuple[str, Failure]]:
        """List every key that failed at or after ``since`` (seconds since 1970) and has no answer, by time.

        Raises:
            UserError: the file cannot be read.
        """
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT key, reason, detail FROM failures WHERE created >= ? ORDER BY created, key", (since,)
            ).fetchall()
        return [(key, Failure(reason, detail)) for key, reason, detail in rows]

    def if_open(self, action: Callable[[], None]) -> None:
        """Run an action, and ignore its failure if the file was closed meanwhile, as when the parent process died."""
        try:
            action()
        except UserError as error:
            if not isinstance(error.__cause__, sqlite3.ProgrammingError):
                raise

    def close(self) -> None:
        """Close the file; allowed more than once and from any thread."""
        with self._lock:
            self._connection.close()

    def _check_version(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in _READABLE:
            raise UserError(
                f"the answer store has version {version}, this version of lecdsr reads version {VERSION}",
                where=str(self.path),
                do=f"use the version of lecdsr that wrote it, or set {FOLDER} to another folder",
                code="other-version",
            )
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise UserError(
                f"the answer store cannot be used: {error}",
                where=str(self.path),
                do=f"check the file and the free space on its disk, or set {FOLDER} to another folder",
                code="broken-store",
            ) from error


def chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the keys in chunks that one statement can take."""
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def open_store() -> Store:
    """Open the store that the environment names, else that of the repository.

    Raises:
        UserError: it cannot be opened.
    """
    return Store(store_folder(os.environ))
