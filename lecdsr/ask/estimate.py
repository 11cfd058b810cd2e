"""Estimate tokens, cost and time of the unanswered questions, before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.ask.access import CONCURRENCY
from lecdsr.ask.prices import Price, read_price
from lecdsr.ask.request import model_of
from lecdsr.ask.store import Store
from lecdsr.ask.types import Usage

# English prose has about four bytes per token; used until the store has answers to measure.
_BYTES_PER_TOKEN = 4.0
_MEASURED_ON = 200
# Seconds that a hosted model takes to write an answer of the usual length.
_SECONDS_PER_ANSWER = 3.0


@dataclass(frozen=True)
class Estimate:
    """Size of the questions that the store cannot answer.

    Args:
        questions: distinct questions of the pair.
        profiles: profiles among them, in all versions together.
        users: users that these profiles describe.
        answered: those with an answer in the store.
        in_open_jobs: those submitted in a batch or written to a file, without a result yet.
        most: prompt and answer tokens if every answer has the maximum length.
        likely: tokens if answers are as long as this model's answers in the store (``most`` if there are none).
        measured_on: stored answers that ``likely`` is measured on.
        model: name of the model.
        price: its price, if known.
    """

    questions: int
    profiles: int
    users: int
    answered: int
    in_open_jobs: int
    most: Usage
    likely: Usage
    measured_on: int
    model: str
    price: Price | None

    @property
    def missing(self) -> int:
        """Number of questions that still have to be asked."""
        return self.questions - self.answered

    def hours(self, per_minute: float, tokens_per_minute: float) -> float:
        """Return the hours that the missing questions take under limits of requests and tokens per minute."""
        tokens = self.likely.prompt_tokens + self.likely.completion_tokens
        return max(self.missing / per_minute, tokens / tokens_per_minute) / 60

    def facts(self, per_minute: float | None, tokens_per_minute: float | None, concurrency: int) -> dict[str, object]:
        """Return the figures to print, in reading order."""
        measured = f"measured on {self.measured_on:,} answers" if self.measured_on else "4 bytes a token, full length"
        report: dict[str, object] = {
            "questions": self.questions,
            "profiles": f"{self.profiles:,} of {self.users:,} users",
            "already answered": self.answered,
            "in open jobs": self.in_open_jobs,
            "to be asked": self.missing,
            "model": self.model,
            f"tokens ({measured})": f"{self.likely.prompt_tokens:,} in, {self.likely.completion_tokens:,} out",
        }
        if self.price is None:
            report["cost"] = f"no price known for {self.model}; name a table in LECDSR_LLM_PRICES"
        else:
            report[f"cost, one by one (prices of {self.price.as_of})"] = _dollars(self.price, self.likely, self.most)
            report["cost, by batch"] = _dollars(self.price.batched(), self.likely, self.most)
        report |= self._times(per_minute, tokens_per_minute, concurrency)
        return report

    def _times(self, per_minute: float | None, tokens_per_minute: float | None, concurrency: int) -> dict[str, object]:
        if per_minute is None and tokens_per_minute is None:
            hours = self.missing * _SECONDS_PER_ANSWER / concurrency / 3600
            return {f"hours, {concurrency} at once ({CONCURRENCY}), {_SECONDS_PER_ANSWER:g} s each": hours}
        hours = self.hours(per_minute or float("inf"), tokens_per_minute or float("inf"))
        return {"hours at these limits": hours}


def estimate(questions: pa.Table, store: Store, environment: Mapping[str, str] = os.environ) -> Estimate:
    """Estimate the unanswered questions without sending anything.

    Args:
        questions: table ``QUESTIONS``.
        store: the answer store.
        environment: variables, which may name a price table.

    Raises:
        UserError: the store or the price table cannot be read.
    """
    from lecdsr.ask.jobs import keys_in_open_jobs

    about_users = questions.filter(pc.equal(questions["kind"], "user"))
    bodies = dict(zip(questions["key"].to_pylist(), questions["body"].to_pylist(), strict=True))
    answered = {key for key, _ in store.answers(list(bodies))}
    missing = [body for key, body in bodies.items() if key not in answered]
    model = model_of(next(iter(bodies.values()))) if bodies else ""
    sizes = [len(body.encode()) for body in missing]
    bytes_per_token, mean_answer, measured_on = _measure(store, model)
    prompt = round(sum(sizes) / bytes_per_token)
    longest = sum(int(json.loads(body).get("max_tokens", 0)) for body in missing)
    likely = longest if mean_answer is None else min(longest, round(mean_answer * len(missing)))
    return Estimate(
        questions=len(bodies),
        profiles=len(about_users),
        users=pc.count_distinct(about_users["id"]).as_py(),
        answered=len(answered),
        in_open_jobs=len(keys_in_open_jobs(store, [key for key in bodies if key not in answered])),
        most=Usage(prompt, longest),
        likely=Usage(prompt, likely),
        measured_on=measured_on,
        model=model,
        price=read_price(model, environment) if model else None,
    )


def _measure(store: Store, model: str) -> tuple[float, float | None, int]:
    """Return bytes per prompt token, tokens per answer, and the number of this model's latest answers measured."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT length(CAST(body AS BLOB)), prompt_tokens, completion_tokens FROM answers "
            "WHERE json_extract(body, '$.model') = ? AND prompt_tokens > 0 ORDER BY created DESC LIMIT ?",
            (model, _MEASURED_ON),
        ).fetchall()
    if not rows:
        return _BYTES_PER_TOKEN, None, 0
    total = [sum(column) for column in zip(*rows, strict=True)]
    return total[0] / total[1], total[2] / len(rows), len(rows)


def _dollars(price: Price, likely: Usage, most: Usage) -> str:
    return f"{price.of(likely):.2f} USD, at most about {price.of(most):.2f}"
