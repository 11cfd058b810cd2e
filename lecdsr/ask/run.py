"""Questions in, answers out: what the store has is taken from it, the rest is asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from lecdsr.ask.claims import Claims
from lecdsr.ask.request import model_of
from lecdsr.ask.store import Store
from lecdsr.ask.types import Answer, Failure, Outcome, Provider, Question, Usage
from lecdsr.core.console import progress_bar, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import ANSWERS

# Few enough that two runs started together share the work, many enough that claiming costs little.
_CLAIMED_AT_ONCE = 128
_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 60.0


@dataclass
class Asked:
    """What is known so far: texts and reasons by key, tokens, and how many came from the store."""

    provider: str
    texts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Failure] = field(default_factory=dict)
    from_store: int = 0
    spent: float = 0.0  # US dollars of this run, as far as prices are known
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
    missing = _missing(questions, asked)
    if missing and store is None:
        for outcomes in _watched(provider, _rows(questions, missing), len(missing), asked):
            _record(outcomes, asked)
    elif store is not None:
        _ask_missing(questions, missing, provider, store, asked)
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


def _missing(questions: pa.Table, asked: Asked) -> set[str]:
    return {key for key in questions["key"].to_pylist() if key not in asked.texts and key not in asked.reasons}


def _rows(questions: pa.Table, wanted: set[str]) -> Iterator[Question]:
    """Every wanted key, once; a batch of rows at a time is held as Python text."""
    seen: set[str] = set()
    for batch in questions.select(["kind", "key", "body", "facts"]).to_batches(max_chunksize=1024):
        for kind, key, body, facts in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if key in wanted and key not in seen:
                seen.add(key)
                yield Question(kind, key, body, facts)


def _ask_missing(questions: pa.Table, missing: set[str], provider: Provider, store: Store, asked: Asked) -> None:
    """Ask what is missing and no other run is asking; then wait for what the others do with the rest."""
    claims, started = Claims(store), time.time()
    try:
        while missing:
            mine = _claimed(_rows(questions, missing), claims)
            for outcomes in _watched(provider, mine, len(missing), asked):
                if outcomes:
                    store.put(outcomes)
                    _record(outcomes, asked)
                claims.renew()
            missing = _missing(questions, asked)
            if missing:
                _learn_from_others(missing, store, asked, started)
                missing = _missing(questions, asked)
    except UserError:
        bought = len(asked.texts) - asked.from_store
        warn(f"{bought:,} new answers of this run are kept in {store.path}")
        raise
    finally:
        store.if_open(claims.release)


def _claimed(questions: Iterator[Question], claims: Claims) -> Iterator[Question]:
    """Those of the questions that no other run has claimed, claimed for this one."""
    while chunk := list(islice(questions, _CLAIMED_AT_ONCE)):
        ours = claims.take([question.key for question in chunk])
        yield from (question for question in chunk if question.key in ours)


def _learn_from_others(missing: set[str], store: Store, asked: Asked, started: float) -> None:
    """Take over what other runs were answered, or told no, since this one began; look once a second."""
    time.sleep(_LOOK_EVERY_S)
    for key, answer in store.answers(sorted(missing)):
        asked.know(key, answer)
        asked.from_store += 1
    for key, failure in store.failures(since=started):
        if key in missing and key not in asked.texts:
            asked.reasons[key] = failure


def _watched(
    provider: Provider, questions: Iterator[Question], total: int, asked: Asked
) -> Iterator[list[tuple[Question, Outcome]]]:
    """The outcomes of the provider behind a live line; where there is no terminal, a line a minute."""
    began = said = time.monotonic()
    done = 0
    with progress_bar() as bar:
        task = bar.add_task(provider.title, total=total, note="")
        for outcomes in provider.answer(questions):
            yield outcomes
            done += len(outcomes)
            asked.spent = provider.spent
            now = time.monotonic()
            note = _note(asked, provider.spent, done / max(now - began, 1e-9))
            bar.update(task, advance=len(outcomes), note=note)
            if bar.disable and now - said >= _SAY_EVERY_S:
                said = now
                left = (total - done) * (now - began) / max(done, 1)
                say(f"{provider.title}: {done:,} of {total:,}, {note}, {left / 60:,.0f} min left")


def _note(asked: Asked, spent: float, rate: float) -> str:
    parts = [f"{rate:.1f}/s", f"{len(asked.reasons):,} failed"]
    return ", ".join([*parts, f"{spent:.4f} USD"] if spent else parts)


def _record(outcomes: list[tuple[Question, Outcome]], asked: Asked) -> None:
    for question, outcome in outcomes:
        if isinstance(outcome, Answer):
            asked.know(question.key, outcome)
        else:
            asked.reasons[question.key] = outcome
        asked.usage_now += outcome.usage
