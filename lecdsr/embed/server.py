"""Vectors from any server that speaks the OpenAI API, many texts a request.

Errors, pauses and caps are those of asking (:mod:`lecdsr.ask`): it is asked, once for each batch of texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lecdsr.ask.openai_provider import OpenAIProvider, RetryPolicy
from lecdsr.ask.shutdown import graceful_interrupt, stop_with_parent
from lecdsr.ask.types import Answer, Endpoint, Failure, Outcome, Question
from lecdsr.core.errors import UserError
from lecdsr.embed.cached import CachedEncoder, Vectors, cut_to
from lecdsr.embed.reply import read_vectors

_PATH = "embeddings"
#: Texts that OpenAI takes in a request.
MOST_TEXTS = 2048
#: OpenAI takes 300,000 tokens in a request, and no tokenizer of bytes makes more tokens than bytes.
MOST_BYTES = 250_000


class ServerEncoder(CachedEncoder):
    """An encoder behind ``/v1/embeddings``; whole vectors are stored, so that another width costs nothing.

    Args:
        name: the server's name of the model.
        batch_size: texts in a request, at most :data:`MOST_TEXTS`.
        width: first components kept of a vector, which is normalised again; None keeps all.
        environment: address, key and caps, as for asking.
        pace: how patiently a request is repeated.
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
        # One for all calls: the caps hold for everything that the stage asks.
        self._provider = OpenAIProvider(environment, retry_policy, endpoint)

    @property
    def width(self) -> int:
        """Width of a vector, known from the first one on."""
        if self.full_width is None:
            raise UserError(
                "no item and no user has a text, so that there is nothing to encode",
                where="embed.item_text",
                do="choose parts that the items have, or set `embed.provider: sentence-transformers`",
            )
        return self.full_width

    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        """The key in the store of every text: of the model and the text."""
        parts = [f"openai/{_PATH}", self.name, "normalised"]
        return {text: hashlib.sha256(json.dumps([*parts, text]).encode()).hexdigest() for text in texts}

    def finish(self, rows: Vectors) -> Vectors:
        """Cut to the width of the settings.

        Raises:
            UserError: the server's vectors are narrower than that.
        """
        if self.cut is not None and self.cut > rows.shape[1]:
            raise UserError(f"the encoder's vectors are {rows.shape[1]} wide, not {self.cut}", where="embed.width")
        return cut_to(rows, self.cut)

    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        """Ask for the vectors of batches of like length.

        Raises:
            BudgetReached: a cap on requests or cost is reached.
            UserError: the server cannot be asked, or some texts came back without a vector.
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
            # The clients of OpenAI ask for base64, so every server knows it; in numbers a reply is three times as long.
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
    """Texts in their order, at most ``most`` and :data:`MOST_BYTES` in a batch; a longer text is alone."""
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
    """Every vector that came is on the disk."""


def _failed(failures: Counter[str]) -> UserError:
    reason, _ = failures.most_common(1)[0]
    return UserError(
        f"{failures.total():,} texts have no vector: {reason}",
        where="embed",
        do="run `dvc repro` again to ask for these (all other vectors are kept); or lower embed.batch_size or "
        "embed.max_characters, or name another encoder",
    )
