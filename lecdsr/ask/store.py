"""The answer store: what was paid for, by the key of its question, outside every output of DVC."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lecdsr.ask.reply import read_reply
from lecdsr.ask.seam import Answer, Failure, Question
from lecdsr.base.errors import UserError
from lecdsr.base.paths import store_root

FOLDER = "LECDSR_LLM_STORE"
_VERSION = 1
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
"""
# SQLite allows a bounded number of values in one statement.
_CHUNK = 500


def store_folder(environment: Mapping[str, str]) -> Path:
    """``$LECDSR_LLM_STORE``, else ``.llm-store`` in the repository that people keep."""
    return store_root() / Path(environment.get(FOLDER) or ".llm-store").expanduser()


class Store:
    """Answers and failures in one SQLite file; every answer is on the disk before the next is taken.

    Several threads and processes may use the file. Failures are kept to be listed; they are asked
    again by the next run.

    Raises:
        UserError: the file cannot be opened or is no answer store.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.sqlite"
        self._lock = threading.Lock()
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
            # WAL survives a kill at any moment; FULL also a power cut.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_TABLES)
            self._check_version()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def answers(self, keys: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        """Yield the answer of every key that has one, in no particular order.

        Raises:
            UserError: the file cannot be read.
        """
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            with self._lock, self._guarded():
                rows = self._connection.execute(
                    f"SELECT key, reply FROM answers WHERE key IN ({marks})", chunk
                ).fetchall()
            for key, reply in rows:
                answer = read_reply(reply)
                if isinstance(answer, Answer):
                    yield key, answer

    def put(self, question: Question, answer: Answer) -> None:
        """Commit an answer; a failure of the same key is forgotten.

        Raises:
            UserError: the file cannot be written.
        """
        row = (question.key, question.body, answer.reply, answer.usage.prompt_tokens, answer.usage.completion_tokens)
        with self._lock, self._guarded(), self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, answer.model, answer.finish_reason, time.time()),
            )
            self._connection.execute("DELETE FROM failures WHERE key = ?", (question.key,))

    def fail(self, question: Question, failure: Failure) -> None:
        """Commit why a question has no answer.

        Raises:
            UserError: the file cannot be written.
        """
        row = (question.key, question.body, failure.reason, failure.detail, failure.reply)
        with self._lock, self._guarded(), self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, failure.usage.prompt_tokens, failure.usage.completion_tokens, time.time()),
            )

    def failures(self) -> list[tuple[str, Failure]]:
        """Every key that failed and was not answered since, by time.

        Raises:
            UserError: the file cannot be read.
        """
        with self._lock, self._guarded():
            rows = self._connection.execute("SELECT key, reason, detail FROM failures ORDER BY created, key").fetchall()
        return [(key, Failure(reason, detail)) for key, reason, detail in rows]

    def close(self) -> None:
        """Close the file; allowed more than once and from any thread."""
        with self._lock:
            self._connection.close()

    def _check_version(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise UserError(
                f"the answer store has version {version}, this program reads {_VERSION}",
                where=str(self.path),
                do=f"use the program that wrote it, or another folder ({FOLDER})",
            )
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise UserError(
                f"the answer store cannot be used: {error}",
                where=str(self.path),
                do=f"check the file and the room on its disk, or name another folder in {FOLDER}",
            ) from error


def open_store() -> Store:
    """Open the store that the environment names, or that of the repository.

    Raises:
        UserError: it cannot be opened.
    """
    return Store(store_folder(os.environ))
