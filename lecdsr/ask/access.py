"""Read the address, key and limits of a server from the environment."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from lecdsr.core.errors import UserError

KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
CONCURRENCY = "LECDSR_LLM_CONCURRENCY"
MAX_REQUESTS = "LECDSR_LLM_MAX_REQUESTS"
MAX_COST = "LECDSR_LLM_MAX_COST"
TIMEOUT = "LECDSR_LLM_TIMEOUT_S"
TRANSPORT = "LECDSR_LLM_TRANSPORT"
TRANSPORTS = ("sync", "batch", "files")

DEFAULT_URL = "https://api.openai.com/v1"
# Servers on the same machine need no key, but the client requires one.
_NO_KEY = "none"
# Placeholders such as "none" or "EMPTY" are not secret and occur in ordinary replies.
_SHORTEST_SECRET = 8

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Access:
    """Address, key and limits of one server."""

    base_url: str = field(repr=False)  # may carry a password
    key: str = field(repr=False)
    concurrency: int = 16
    max_requests: int | None = None
    max_cost: float | None = None  # US dollars
    timeout_s: float = 120.0

    @property
    def host(self) -> str:
        """The server's name and port, for messages."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def redact(self, text: str) -> str:
        """Replace the key in a server's reply by ``[key]``."""
        return text.replace(self.key, "[key]") if len(self.key) >= _SHORTEST_SECRET else text


def read_access(environment: Mapping[str, str], keyless: str = "ask.provider: offline") -> Access:
    """Read address, key and limits of a server from environment variables; an empty variable counts as not set.

    Args:
        environment: environment variables by name.
        keyless: a setting that works without a key, for the error message when the key is missing.

    Raises:
        UserError: the key is missing, or a variable cannot be read.
    """
    base_url = environment.get(BASE_URL, "").strip() or DEFAULT_URL
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise UserError(
            "the value is not the URL of a server",
            where=BASE_URL,
            do=f"set it to a URL such as {DEFAULT_URL}",
            code="wrong-value",
        )
    return Access(
        base_url=base_url,
        key=_read_key(environment, base_url, keyless),
        concurrency=_number(environment, CONCURRENCY, int, 16, least=1),
        max_requests=_number(environment, MAX_REQUESTS, int, -1, least=0) if environment.get(MAX_REQUESTS) else None,
        max_cost=_number(environment, MAX_COST, float, -1, least=0) if environment.get(MAX_COST) else None,
        timeout_s=_number(environment, TIMEOUT, float, 120.0, least=0.01),
    )


def read_transport(environment: Mapping[str, str]) -> str:
    """Read how questions are sent: one by one (``sync``), by the batch API, or as files.

    This is not a setting because it does not change any answer.

    Raises:
        UserError: there is no such transport.
    """
    transport = environment.get(TRANSPORT, "").strip() or TRANSPORTS[0]
    if transport not in TRANSPORTS:
        raise UserError(
            f"there is no transport {transport!r}",
            where=TRANSPORT,
            do=f"use one of {', '.join(TRANSPORTS)}",
            code="wrong-value",
        )
    return transport


def _read_key(environment: Mapping[str, str], base_url: str, keyless: str) -> str:
    key = environment.get(KEY, "").strip()
    if not key and not _on_loopback(base_url):
        raise UserError(
            f"there is no API key for {urlsplit(base_url).hostname}",
            where=KEY,
            do=f"set this environment variable to your key, or set `{keyless}`, which needs no key",
            code="no-key",
        )
    # An HTTP header holds only printable ASCII, and the library's own error message would quote the key.
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            "the API key contains a character that is not printable ASCII",
            where=KEY,
            do="copy the key again",
            code="wrong-value",
        )
    return key or _NO_KEY


def _on_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(environment: Mapping[str, str], name: str, kind: type[N], default: N, least: float) -> N:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = kind(-1)
    if not (math.isfinite(value) and value >= least):
        raise UserError(
            f"the value is {text!r}, expected a number of at least {least:g}",
            where=name,
            do="set this environment variable to such a number, or unset it",
            code="wrong-value",
        )
    return value
