"""Read answers from raw replies. The store keeps the raw reply, so a bug here never loses a paid answer."""

from __future__ import annotations

import json
import re
from typing import Any

from lecdsr.ask.types import Answer, Failure, Outcome, Usage

# Reasoning models of open servers put their reasoning before the answer.
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def read_reply(raw: str) -> Outcome:
    """Read the JSON of a chat completion.

    A reply that is empty, refused, or cut off (``finish_reason`` other than ``stop``) is a failure.
    """
    try:
        reply = json.loads(raw)
    except ValueError:
        return Failure("reply is not JSON", plain(raw, 80), raw)
    choice = _first_choice(reply)
    if choice is None:
        return Failure("reply has no choice", plain(error_message(reply), 200), raw)
    message, usage = choice["message"], usage_of(reply)
    delete_job = choice.get("finish_reason")
    if message.get("refusal"):
        return Failure("refused", plain(str(message["refusal"]), 200), raw, usage)
    if delete_job == "content_filter":
        return Failure("content filter", "", raw, usage)
    if delete_job != "stop":
        return Failure("cut off", f"finish_reason {plain(str(delete_job), 40)}", raw, usage)
    content = message.get("content")
    text = _readable(content) if isinstance(content, str) else ""
    if not text:
        return Failure("empty", "", raw, usage)
    return Answer(text, raw, plain(str(reply.get("model") or ""), 100), delete_job, usage)


def plain(text: str, length: int) -> str:
    """Return one printable line of at most ``length`` characters, safe to show on a terminal."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _first_choice(reply: Any) -> dict[str, Any] | None:
    try:
        choice = reply["choices"][0]
        return choice if isinstance(choice["message"], dict) else None
    except (TypeError, KeyError, IndexError):
        return None


def error_message(reply: Any) -> str:
    """Return the error message of a reply; some servers report errors with status 200."""
    error = reply.get("error") if isinstance(reply, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def usage_of(reply: dict[str, Any]) -> Usage:
    """Return the token counts that the server reported."""
    counts = reply.get("usage")
    if not isinstance(counts, dict):
        return Usage()
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return Usage(prompt if isinstance(prompt, int) else 0, completion if isinstance(completion, int) else 0)


def _readable(content: str) -> str:
    # JSON can contain half a surrogate pair, which UTF-8 cannot encode.
    whole = content.encode("utf-8", "replace").decode("utf-8")
    return _THOUGHT.sub("", whole).replace("\0", "").strip()
