"""Encode texts through a server with the OpenAI API, many texts per request.

Each batch of texts is sent as one question of the client in :mod:`lecdsr.ask`, so its retries, pauses and caps apply.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lecdsr.ask.openai_provider import OpenAIProvider, RetryPolicy
from lecdsr.ask.reply import error_message, plain, usage_of
from lecdsr.ask.shutdown import graceful_interrupt, stop_with_parent
from lecdsr.ask.types import Answer, Endpoint, Failure, Outcome, Question, Usage
from lecdsr.core.errors import UserError
from lecdsr.embed.base import CachedEncoder, Vectors, normalised, too_narrow, truncate

_PATH = "embeddings"
#: Maximum number of texts in a request to OpenAI.
MOST_TEXTS = 2048
#: OpenAI allows 300,000 tokens per request, and byte-level tokenizers never make more tokens than bytes.
MOST_BYTES = 250_000


class ServerEncoder(CachedEncoder):
    """Encoder behind ``/v1/embeddings``; full vectors are stored, so that changing the width needs no new request.

    Args:
        name: name of the model on the server.
        batch_size: texts per request, at most :data:`MOST_TEXTS`.
        width: number of leading components kept, normalised again; None keeps all.
        environment: address, key and caps, as in the stage ``ask``.
        retry_policy: how often a request is repeated.
    """

    def __init__(
        self,
        name: str,
        batch_size: int,
        width: int | None,
        environment: Mapping[str, str],
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.name, self.batch_size, self.cut = name, batch_size, width
        self._sent: dict[str, list[str]] = {}
        self._read: dict[str, Vectors] = {}
        endpoint = Endpoint(_PATH, self._outcome, "embed.encoder", "embed.provider: sentence-transformers")
        # One provider for all calls, so that the caps hold for the whole stage.
        self._provider = OpenAIProvider(environment, retry_policy, endpoint)

    @property
    def width(self) -> int:
        """Number of components of a vector; known once the first one has arrived."""
        if self.full_width is None:
            raise UserError(
                "no item and no user has a text, so there is nothing to encode",
                where="embed.item_text",
                do="choose text fields that the items have, or set embed.provider to sentence-transformers",
                code="no-texts",
            )
        return self.full_width

    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        """Return the key of every text: a hash of the model and the text."""
        parts = [f"openai/{_PATH}", self.name, "normalised"]
        return {text: hashlib.sha256(json.dumps([*parts, text]).encode()).hexdigest() for text in texts}

    def finish(self, rows: Vectors) -> Vectors:
        """Truncate vectors to the width set in the settings.

        Raises:
            UserError: the server's vectors are narrower than that.
        """
        if self.cut is not None and self.cut > rows.shape[1]:
            raise too_narrow(rows.shape[1], self.cut)
        return truncate(rows, self.cut)

    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        """Request the vectors of batches of texts of similar length.

        Raises:
            BudgetReached: a cap on requests or cost is reached.
            UserError: the server cannot be used, or some texts got no vector.
        """
        failures: Counter[str] = Counter()
        with stop_with_parent(self._provider.stop, _nothing), graceful_interrupt(self._provider.stop):
            for outcomes in self._provider.answer(self._questions(texts)):
                for question, outcome in outcomes:
                    sent = self._sent.pop(question.key)
                    self.spent = self._provider.spent
                    if isinstance(outcome, Answer):
                        yield sent, self._read.pop(question.key)
                    else:
                        failures[str(outcome)] += len(sent)
        if failures:
            raise _failed(failures)

    def _questions(self, texts: Sequence[str]) -> Iterator[Question]:
        for number, batch in enumerate(batches(texts, min(self.batch_size, MOST_TEXTS))):
            # OpenAI's own clients request base64, so every server supports it; numbers as text are three times as long.
            request = {"model": self.name, "input": batch, "encoding_format": "base64"}
            key = f"{number}"
            self._sent[key] = batch
            yield Question("texts", key, json.dumps(request, ensure_ascii=False), "")

    def _outcome(self, question: Question, raw: str) -> Outcome:
        read = read_vectors(raw, len(self._sent[question.key]), self.full_width)
        if isinstance(read, Failure):
            return read
        self._read[question.key], usage = read
        self.full_width = self._read[question.key].shape[1]
        return Answer("", usage=usage)


def batches(texts: Iterable[str], most: int) -> Iterator[list[str]]:
    """Group texts, in order, into batches of at most ``most`` texts and :data:`MOST_BYTES`; a longer text is alone."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == most or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _nothing() -> None:
    """Do nothing on closing: every vector that arrived is stored already."""


def _failed(failures: Counter[str]) -> UserError:
    reason, _ = failures.most_common(1)[0]
    return UserError(
        f"{failures.total():,} texts have no vector: {reason}",
        where="embed",
        do="run `dvc repro` again to request these (all other vectors are kept); or lower embed.batch_size or "
        "embed.max_characters, or set another encoder",
        code="missing-vectors",
    )


def read_vectors(raw: str, count: int, width: int | None) -> tuple[Vectors, Usage] | Failure:
    """Read the vectors in a reply of ``/v1/embeddings`` to ``count`` texts.

    Args:
        raw: the reply; vectors in it are lists of numbers or base64 of little-endian float32.
        count: texts that were sent.
        width: expected width; None accepts any width, as for the first reply.

    Returns:
        ``[count, width]``, rows of length 1, and the reported tokens; or a failure if the reply is not JSON or its
        vectors are too few, too many, out of order, of another width, not finite, or zero.
    """
    try:
        reply = json.loads(raw)
    except ValueError:
        return Failure("reply is not JSON", plain(raw, 80))
    data = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        return Failure("reply has no vectors", plain(error_message(reply), 200))
    usage = usage_of(reply)
    if len(data) != count:
        return Failure("wrong number of vectors", f"{len(data):,} for {count:,} texts", usage=usage)
    if [row.get("index") for row in data] != list(range(count)):
        return Failure("vectors out of order", usage=usage)
    try:
        rows = [_vector(row.get("embedding")) for row in data]
    except (TypeError, ValueError) as error:
        return Failure("vector cannot be read", plain(str(error), 80), usage=usage)
    wanted = width or len(rows[0])
    if odd := next((len(row) for row in rows if len(row) != wanted), None):
        return Failure("wrong width", f"a vector is {odd:,} wide, others {wanted:,}", usage=usage)
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        return Failure("vector is not finite", usage=usage)
    if not vectors.any(axis=1).all():
        return Failure("vector is zero", usage=usage)
    return normalised(vectors), usage


def _vector(given: Any) -> Vectors:
    """Decode one vector ``[width]``.

    Raises:
        TypeError, ValueError: neither a list of numbers nor base64 of float32.
    """
    if isinstance(given, str):
        return np.frombuffer(base64.b64decode(given, validate=True), "<f4").astype(np.float32)
    if not isinstance(given, list) or not all(type(number) in (int, float) for number in given) or not given:
        raise TypeError("neither a list of numbers nor base64")
    return np.asarray(given, np.float32)
