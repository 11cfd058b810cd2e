"""Questions in, answers out: what the store has is taken from it, the rest is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from lecdsr.ask.seam import Answer, Failure, Outcome, Provider, Question, Usage
from lecdsr.ask.store import Store
from lecdsr.base.console import progress_bar, warn
from lecdsr.base.errors import UserError
from lecdsr.base.requests import model_of
from lecdsr.base.schemas import ANSWERS


@dataclass
class Asked:
    """What is known so far: texts and reasons by key, tokens, and how many came from the store."""

    provider: str
    texts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Failure] = field(default_factory=dict)
    from_store: int = 0
    usage: Usage = field(default_factory=Usage)  # of the answers, whenever they were bought
    usage_now: Usage = field(default_factory=Usage)  # of what this run asked, failures included

    def know(self, key: str, answer: Answer) -> None:
        """Take note of an answer."""
        self.texts[key] = answer.text
        self.usage += answer.usage


def ask(questions: pa.Table, provider: Provider, store: Store | None = None) -> Asked:
    """Answer every question, each key once.

    Args:
        questions: table ``QUESTIONS``.
        provider: who is asked for what the store does not have; it is not touched if nothing is.
        store: where answers are looked up and committed as they arrive; None asks everything.

    Raises:
        UserError: the provider cannot go on, or the store cannot be used; what was answered before
            is in the store.
    """
    asked = Asked(provider.name)
    if store is not None:
        for key, answer in store.answers(list(dict.fromkeys(questions["key"].to_pylist()))):
            asked.know(key, answer)
        asked.from_store = len(asked.texts)
    missing = _count_missing(questions, asked.texts)
    if missing:
        _ask_missing(_unanswered(questions, frozenset(asked.texts)), missing, provider, store, asked)
    return asked


def answer_table(questions: pa.Table, asked: Asked) -> pa.Table:
    """Table ``ANSWERS``, in the order of the questions.

    Raises:
        KeyError: a question was neither answered nor failed.
    """
    keys = questions["key"].to_pylist()
    reasons = [None if key in asked.texts else str(asked.reasons[key]) for key in keys]
    columns = [questions["kind"], questions["id"], questions["key"], [asked.texts.get(key) for key in keys], reasons]
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, pa.string())])
        for column in columns
    ]
    return pa.Table.from_arrays(arrays, schema=ANSWERS)


def answer_metrics(answers: pa.Table, questions: pa.Table, asked: Asked) -> dict[str, int | str]:
    """Facts for Git; tokens are those of the answers used, whenever they were bought."""
    kinds, texts = answers["kind"].to_pylist(), answers["text"].to_pylist()
    answered = sum(text is not None for text in texts)
    return {
        "questions": len(texts),
        "answered": answered,
        "failed": len(texts) - answered,
        "provider": asked.provider,
        "model": model_of(questions["body"][0].as_py()) if questions.num_rows else "",
        "prompt_tokens": asked.usage.prompt_tokens,
        "completion_tokens": asked.usage.completion_tokens,
        "profiles": sum(kind == "user" and text is not None for kind, text in zip(kinds, texts, strict=True)),
    }


def check_failures(answers: pa.Table, asked: Asked, most: float) -> None:
    """Refuse a table in which too many questions failed.

    Raises:
        UserError: the share of questions without an answer is above ``most``.
    """
    failed = answers["text"].null_count
    if failed <= most * answers.num_rows:
        return
    reasons = Counter(failure.reason for failure in asked.reasons.values()).most_common(3)
    raise UserError(
        f"{failed:,} of {answers.num_rows:,} questions have no answer: "
        + ", ".join(f"{reason} ({number:,})" for reason, number in reasons)
        + f"; for example: {next(iter(asked.reasons.values()))}",
        where="ask.max_failed_share",
        do="run `dvc repro` again to ask these anew (answers are kept), mend prompts.max_tokens or the model, "
        "or allow a greater share",
    )


def _count_missing(questions: pa.Table, texts: dict[str, str]) -> int:
    return len({key for key in questions["key"].to_pylist() if key not in texts})


def _unanswered(questions: pa.Table, known: frozenset[str]) -> Iterator[Question]:
    """Every key that is not known, once; a batch of rows at a time is held as Python text."""
    seen: set[str] = set()
    for batch in questions.select(["kind", "key", "body", "facts"]).to_batches(max_chunksize=1024):
        for kind, key, body, facts in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if key not in known and key not in seen:
                seen.add(key)
                yield Question(kind, key, body, facts)


def _ask_missing(
    questions: Iterator[Question], total: int, provider: Provider, store: Store | None, asked: Asked
) -> None:
    try:
        with progress_bar() as bar:
            task = bar.add_task(provider.title, total=total, note="")
            for question, outcome in provider.answer(questions):
                _record(question, outcome, store, asked)
                bar.update(task, advance=1, note=f"{len(asked.reasons)} failed" if asked.reasons else "")
    except UserError:
        if store is not None:
            warn(f"{len(asked.texts) - asked.from_store:,} new answers of this run are kept in {store.path}")
        raise


def _record(question: Question, outcome: Outcome, store: Store | None, asked: Asked) -> None:
    if isinstance(outcome, Answer):
        if store is not None:
            store.put(question, outcome)
        asked.know(question.key, outcome)
    else:
        if store is not None:
            store.fail(question, outcome)
        asked.reasons[question.key] = outcome
    asked.usage_now += outcome.usage
