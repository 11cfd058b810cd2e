"""Answer a table of questions: take known answers from the store and ask the provider for the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from lecdsr.ask.claims import Claims
from lecdsr.ask.store import Store
from lecdsr.ask.types import Answer, Failure, Outcome, Provider, Question, Usage
from lecdsr.core.console import progress_bar, say, warn
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import ANSWERS

# Small enough that two runs started together share the work, large enough that claiming costs little.
_CLAIMED_AT_ONCE = 128
_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 60.0


@dataclass
class AskResult:
    """Answers so far: texts and failure reasons by key, tokens, and how many answers came from the store."""

    provider: str
    texts: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Failure] = field(default_factory=dict)
    from_store: int = 0
    spent: float = 0.0  # US dollars spent by this run, as far as prices are known
    usage: Usage = field(default_factory=Usage)  # tokens of the answers used, whichever run paid for them
    usage_of_run: Usage = field(default_factory=Usage)  # tokens of the questions that this run asked, failures included

    def add_answer(self, key: str, answer: Answer) -> None:
        """Add an answer and its tokens."""
        self.texts[key] = answer.text
        self.usage += answer.usage


def ask(questions: pa.Table, provider: Provider, store: Store | None = None) -> AskResult:
    """Answer every question of a table, asking each distinct key only once.

    Args:
        questions: table ``QUESTIONS``.
        provider: answers the questions that the store lacks; it is not called if there are none.
        store: answer store to look answers up in and to commit new ones to as they arrive; None asks every question.

    Raises:
        UserError: the provider or the store fails; the answers so far are in the store.
    """
    result = AskResult(provider.name)
    if store is not None:
        for key, answer in store.answers(list(dict.fromkeys(questions["key"].to_pylist()))):
            result.add_answer(key, answer)
        result.from_store = len(result.texts)
    missing = _missing(questions, result)
    if missing and store is None:
        for outcomes in _with_progress(provider, _unique_questions(questions, missing), len(missing), result):
            _record(outcomes, result)
    elif store is not None:
        _ask_missing(questions, missing, provider, store, result)
    return result


def answer_table(questions: pa.Table, result: AskResult) -> pa.Table:
    """Build the table ``ANSWERS``, in the order of the questions.

    Raises:
        KeyError: a question was neither answered nor failed.
    """
    keys = questions["key"].to_pylist()
    reasons = [None if key in result.texts else str(result.reasons[key]) for key in keys]
    columns = [questions[name] for name in ("kind", "id", "as_of", "key")]
    columns += [[result.texts.get(key) for key in keys], reasons]
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, pa.string())])
        for column in columns
    ]
    return pa.Table.from_arrays(arrays, schema=ANSWERS)


def check_failures(answers: pa.Table, result: AskResult, most: float) -> None:
    """Refuse a table in which too many questions failed.

    Raises:
        UserError: the share of questions without an answer is above ``most``.
    """
    failed = answers["text"].null_count
    if failed <= most * answers.num_rows:
        return
    reasons = Counter(failure.reason for failure in result.reasons.values()).most_common(3)
    raise UserError(
        f"{failed:,} of {answers.num_rows:,} questions have no answer: "
        + ", ".join(f"{reason} ({number:,})" for reason, number in reasons)
        + f"; for example: {next(iter(result.reasons.values()))}",
        where="ask.max_failed_share",
        do="run `dvc repro` again to ask only these (all answers are kept), change prompts.max_tokens or "
        "prompts.model, or raise ask.max_failed_share",
        code="failed-questions",
    )


def _missing(questions: pa.Table, result: AskResult) -> set[str]:
    return {key for key in questions["key"].to_pylist() if key not in result.texts and key not in result.reasons}


def _unique_questions(questions: pa.Table, wanted: set[str]) -> Iterator[Question]:
    """Yield one question per wanted key; only one batch of rows at a time is held as Python text."""
    seen: set[str] = set()
    for batch in questions.select(["kind", "key", "body", "facts"]).to_batches(max_chunksize=1024):
        for kind, key, body, facts in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if key in wanted and key not in seen:
                seen.add(key)
                yield Question(kind, key, body, facts)


def _ask_missing(questions: pa.Table, missing: set[str], provider: Provider, store: Store, result: AskResult) -> None:
    """Ask the missing questions that no other run is asking, then wait for the other runs to answer the rest."""
    claims, started = Claims(store), time.time()
    try:
        while missing:
            mine = _claimed(_unique_questions(questions, missing), claims)
            for outcomes in _with_progress(provider, mine, len(missing), result):
                if outcomes:
                    store.put(outcomes)
                    _record(outcomes, result)
                claims.renew()
            missing = _missing(questions, result)
            if missing:
                _collect_from_other_runs(missing, store, result, started)
                missing = _missing(questions, result)
    except UserError:
        bought = len(result.texts) - result.from_store
        warn(f"{bought:,} new answers of this run are kept in {store.path}")
        raise
    finally:
        store.if_open(claims.release)


def _claimed(questions: Iterator[Question], claims: Claims) -> Iterator[Question]:
    """Claim questions and yield those that no other run has claimed."""
    while chunk := list(islice(questions, _CLAIMED_AT_ONCE)):
        ours = claims.take([question.key for question in chunk])
        yield from (question for question in chunk if question.key in ours)


def _collect_from_other_runs(missing: set[str], store: Store, result: AskResult, started: float) -> None:
    """Wait a second, then read the answers and failures that other runs stored since this run started."""
    time.sleep(_LOOK_EVERY_S)
    for key, answer in store.answers(sorted(missing)):
        result.add_answer(key, answer)
        result.from_store += 1
    for key, failure in store.failures(since=started):
        if key in missing and key not in result.texts:
            result.reasons[key] = failure


def _with_progress(
    provider: Provider, questions: Iterator[Question], total: int, result: AskResult
) -> Iterator[list[tuple[Question, Outcome]]]:
    """Yield the provider's outcomes and show a progress bar; without a terminal, print one line per minute."""
    began = said = time.monotonic()
    done = 0
    with progress_bar() as bar:
        task = bar.add_task(provider.title, total=total, note="")
        for outcomes in provider.answer(questions):
            yield outcomes
            done += len(outcomes)
            result.spent = provider.spent
            now = time.monotonic()
            note = _note(result, provider.spent, done / max(now - began, 1e-9))
            bar.update(task, update_job=len(outcomes), note=note)
            if bar.disable and now - said >= _SAY_EVERY_S:
                said = now
                left = (total - done) * (now - began) / max(done, 1)
                say(f"{provider.title}: {done:,} of {total:,}, {note}, {left / 60:,.0f} min left")


def _note(result: AskResult, spent: float, rate: float) -> str:
    parts = [f"{rate:.1f}/s", f"{len(result.reasons):,} failed"]
    return ", ".join([*parts, f"{spent:.4f} USD"] if spent else parts)


def _record(outcomes: list[tuple[Question, Outcome]], result: AskResult) -> None:
    for question, outcome in outcomes:
        if isinstance(outcome, Answer):
            result.add_answer(question.key, outcome)
        else:
            result.reasons[question.key] = outcome
        result.usage_of_run += outcome.usage
