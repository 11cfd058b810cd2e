"""Metrics of the stage ``ask``: answers and tokens, phrases of profiles, and answers that repeat their prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.ask.request import model_of, sent_part
from lecdsr.ask.run import AskResult
from lecdsr.ask.table import TableAnswers
from lecdsr.core.schemas import DOMAINS
from lecdsr.prompts.profile import domain_name, parse_profile

#: Profiles that are parsed for their statistics, and answers that are compared with the prompt, spread over all.
_SAMPLE = 20_000
#: Questions of one kind that are compared to find the text that all prompts of the kind share.
_COMPARED = 20
#: Successive words of the prompt that make an answer a repetition.
_REPEATED = 6


def answer_metrics(answers: pa.Table, questions: pa.Table, result: AskResult, domains: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of the stage; tokens are those of the answers used, in whichever run they were paid for.

    Args:
        answers: table ``ANSWERS``, in the order of the questions.
        questions: table ``QUESTIONS``.
        result: what the provider answered.
        domains: names of the domains X and Y.
    """
    counts = _counts(answers)
    return {
        **counts,
        "provider": result.provider,
        "model": model_of(questions["body"][0].as_py()) if questions.num_rows else "",
        "prompt_tokens": result.usage.prompt_tokens,
        "completion_tokens": result.usage.completion_tokens,
        **profile_metrics(answers, domains),
        "repeats_of_prompt": repeats_of_prompt(answers, questions, domains),
    }


def table_metrics(found: TableAnswers, domains: Sequence[str]) -> dict[str, Any]:
    """Return the same metrics for answers from tables, and the origin and counts of each table."""
    return {
        **_counts(found.answers),
        "provider": "table",
        "model": found.written_by,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        **profile_metrics(found.answers, domains),
        "tables": found.tables,
    }


def _counts(answers: pa.Table) -> dict[str, int]:
    failed = answers["text"].null_count
    return {"questions": len(answers), "answered": len(answers) - failed, "failed": failed}


def profile_metrics(answers: pa.Table, domains: Sequence[str]) -> dict[str, Any]:
    """Count profiles and their users, the share of profiles with phrases in each domain, and the mean of phrases."""
    profiles = _texts(answers, "user")
    lists = [parse_profile(text, domains).next for text in _spread(profiles["text"]).to_pylist()]
    sizes = np.array([[len(phrases) for phrases in both] for both in lists]).reshape(-1, len(DOMAINS))
    share, mean = ((sizes > 0).mean(axis=0), sizes.mean(axis=0)) if len(sizes) else (np.zeros(2), np.zeros(2))
    return {
        "profiles": len(profiles),
        "users_with_profile": pc.count_distinct(profiles["id"]).as_py(),
        "profiles_with_phrases": _by_domain(share),
        "phrases_per_profile": _by_domain(mean),
    }


def repeats_of_prompt(answers: pa.Table, questions: pa.Table, domains: Sequence[str]) -> float:
    """Compute the share of answers that repeat some successive words of the text that all their prompts share.

    Small models copy the instruction, or an example in the prompt, in place of an answer.
    """
    repeats = compared = 0
    for kind in ("item", "user"):
        asked = questions.filter(pc.equal(questions["kind"], kind))
        prompt = _runs(_shared_lines(_spread(asked["body"], _COMPARED).to_pylist(), domains))
        texts = _spread(_texts(answers, kind)["text"]).to_pylist()
        repeats += sum(not prompt.isdisjoint(_runs([_own_words(text, kind, domains)])) for text in texts)
        compared += len(texts)
    return round(repeats / compared, 6) if compared else 0.0


def _texts(answers: pa.Table, kind: str) -> pa.Table:
    return answers.filter(pc.and_(pc.equal(answers["kind"], kind), pc.is_valid(answers["text"])))


def _spread(column: pa.ChunkedArray, most: int = _SAMPLE) -> pa.ChunkedArray:
    """Return at most ``most`` values at even distances."""
    return (
        column.take(pa.array(np.unique(np.linspace(0, len(column) - 1, most).astype(np.int64))))
        if len(column)
        else column
    )


def _by_domain(values: Iterable[float]) -> dict[str, float]:
    return {domain: round(float(value), 4) for domain, value in zip(DOMAINS, values, strict=True)}


def _shared_lines(bodies: Sequence[str], domains: Sequence[str]) -> list[str]:
    """Return the lines that all of several prompts hold, without the names of the domains: not data, but wording."""
    if len(bodies) < 2:
        return []
    lines = [
        dict.fromkeys(line for part in sent_part(body)["messages"] for line in part["content"].splitlines())
        for body in bodies
    ]
    shared = [line for line in lines[0] if all(line in other for other in lines)]
    for domain in domains:  # an answer names the domains too
        shared = [part for line in shared for part in line.split(domain_name(domain))]
    return shared


def _own_words(text: str, kind: str, domains: Sequence[str]) -> str:
    """Return the text of an answer without the headings that the prompt asks for."""
    if kind == "item":
        return text
    profile = parse_profile(text, domains)
    return " \n".join([profile.portrait, *profile.next[0], *profile.next[1]])


def _runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Return all runs of successive words."""
    found: set[tuple[str, ...]] = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        found.update(zip(*(words[start:] for start in range(_REPEATED)), strict=False))
    return found
