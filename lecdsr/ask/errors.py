"""Error classification: retry the request, fail the question, or stop the run."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lecdsr.ask.access import BASE_URL, CONCURRENCY, KEY, TIMEOUT, Access
from lecdsr.ask.client import Refused, TimedOut, Unreachable
from lecdsr.ask.reply import plain
from lecdsr.ask.types import Failure
from lecdsr.core.errors import UserError

#: Longest pause that a server may ask for before the run stops instead.
LONGEST_PAUSE_S = 3600.0
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "arrearage"}
_NO_MODEL = {"model_not_found", "invalid_model"}
_FILTERED = {"content_filter", "content_policy_violation", "data_inspection_failed"}
KEPT = "all answers so far are kept; run `dvc repro` again to ask the rest"


@dataclass(frozen=True)
class Retry:
    """Try again.

    Args:
        exhausted: the outcome if no attempt is left.
        after: seconds that the server asked to wait.
        timeout: the request timed out; the server may have charged for it, so it is repeated only once.
    """

    exhausted: Failure | UserError
    after: float | None = None
    timeout: bool = False


Classification = Retry | Failure | UserError


def classify_error(
    error: Refused | TimedOut | Unreachable, access: Access, model: str, model_key: str = "prompts.model"
) -> Classification:
    """Classify an error of the client; the key appears in no message.

    ``model_key``: the setting that names the model.
    """
    if isinstance(error, TimedOut):
        return Retry(Failure("timeout", f"no reply within {access.timeout_s:g} s ({TIMEOUT})"), timeout=True)
    if isinstance(error, Unreachable):
        return Retry(
            _stop_run(
                "unreachable",
                f"the server {access.host} cannot be reached",
                BASE_URL,
                "check the address and the network",
            )
        )
    body = _error_of(error.body)
    codes = _codes(body)
    detail = plain(access.redact(_message(body) or error.body), 200)
    return _fatal_error(error.status, codes, detail, access, model, model_key) or _request_error(
        error, codes, detail, access
    )


def _fatal_error(
    status: int, codes: set[str], detail: str, access: Access, model: str, model_key: str
) -> UserError | None:
    """Return the error if every further request would fail the same way; None otherwise."""
    if status == 402 or codes & _NO_MONEY:
        what = f"the account has no credit or quota left: {detail}"
        return _stop_run("no-credit", what, access.host, "add credit to the account or raise its limit")
    if status == 401:
        do = f"check the key, and that it belongs to the server {access.host}"
        return _stop_run("wrong-key", f"the server refused the API key: {detail}", KEY, do)
    if codes & _NO_MODEL or status == 404:
        what = f"the server does not know the model {model!r}, or its address is wrong: {detail}"
        do = f"set {model_key} to a model of the server, or correct {BASE_URL}"
        return _stop_run("unknown-model", what, f"{model_key}, {BASE_URL}", do)
    if status == 403 and not codes & _FILTERED:
        do = f"request access to the model, or set {model_key} to another one"
        return _stop_run("no-permission", f"the API key has no permission for this request: {detail}", KEY, do)
    return None


def _request_error(error: Refused, codes: set[str], detail: str, access: Access) -> Classification:
    status = error.status
    if codes & _FILTERED:
        return Failure("content filter", detail)
    if status not in (408, 409, 429) and status < 500:
        return Failure(f"request refused ({status})", detail)
    after = _retry_after(error.headers)
    if after is not None and after > LONGEST_PAUSE_S:
        what = f"the server asks to wait {after / 3600:.1f} hours: {detail}"
        return _stop_run("wait", what, access.host, "wait that long")
    if status == 429:
        what, do = f"the server refuses requests because there are too many: {detail}", f"wait, or lower {CONCURRENCY}"
        busy = _stop_run("too-many-requests", what, access.host, do)
        return Retry(busy, after=after)
    return Retry(Failure(f"server error ({status})", detail), after=after)


def _stop_run(code: str, what: str, where: str, do: str) -> UserError:
    return UserError(what, where=where, do=f"{do}; {KEPT}", code=code)


def _error_of(body: str) -> Any:
    """Return the error object of a reply, which most servers put under ``error``."""
    try:
        reply = json.loads(body)
    except ValueError:
        return None
    return reply.get("error", reply) if isinstance(reply, dict) else None


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def _codes(body: Any) -> set[str]:
    """Return the names of an error, which servers put under ``code`` or ``type``."""
    if not isinstance(body, dict):
        return set()
    return {str(body[name]).lower() for name in ("code", "type") if body.get(name)}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait; it gives them in milliseconds, in seconds, or as a date."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
