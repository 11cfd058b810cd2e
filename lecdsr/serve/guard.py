"""What stands before every route: host and token, headers that browsers obey, counters, and unread bodies."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lecdsr.core.console import warn
from lecdsr.core.errors import UserError
from lecdsr.serve.messages import Error, ErrorBody, encode
from lecdsr.serve.metrics import Metrics

TOKEN = "LECDSR_SERVE_TOKEN"
#: Routes by the first part of their path; anything else is counted as `other`.
ROUTES = ("", "static", "recommend", "explain", "similar", "items", "health", "metrics", "openapi.json")
#: Routes that say nothing about users or items.
_OPEN = ("", "static", "health")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
#: Longest wait for the rest of a body that is not read, so that its client reads the answer before it is cut off.
_LINGER_SECONDS = 2.0
_STATUS = {
    "malformed-json": 400, "no-access": 401, "wrong-host": 403, "unknown-user": 404, "unknown-item": 404,
    "not-found": 404, "wrong-method": 405, "timeout": 408, "too-large": 413, "wrong-content-type": 415,
    "nan-score": 500, "internal": 500, "busy": 503,
}  # fmt: skip
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


def error_response(error: UserError) -> Response:
    """Turn a mistake into a response with the words of the command line."""
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}
    status = _STATUS.get(error.code or "", 422)
    body = encode(Error(ErrorBody(error.what, error.where, error.do, error.code)))
    return Response(body, status, headers.get(status), "application/json")


def internal_error(error: Exception, route: str) -> Response:
    """Log a failure of the service by its kind and place only, because its text may hold what a user sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
    warn(f"{type(error).__name__} in {route}, at {place}")
    what = "the service failed to answer this request"
    return error_response(UserError(what, do="try again; its log names the place", code="internal"))


def route_of(path: str) -> str:
    """Return the route of a path, for counters."""
    first = path.lstrip("/").split("/", 1)[0]
    return f"/{first}" if first in ROUTES else "other"


class Guard:
    """Middleware around all routes.

    Args:
        app: what answers.
        metrics: where requests are counted.
        token: what a client must send; ``None`` lets every client of this machine in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str | None) -> None:
        self._app, self._metrics, self._token = app, metrics, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, route = time.perf_counter(), route_of(scope["path"])
        answer = _Answer(receive, send, dict(scope["headers"]))
        self._metrics.active += 1
        try:
            refused = self._refused(scope["path"], dict(scope["headers"]))
            await (refused or self._app)(scope, answer.receive, answer.send)
        finally:
            self._metrics.active -= 1
            self._metrics.observe(route, answer.status, time.perf_counter() - begin)

    def _refused(self, path: str, headers: Mapping[bytes, bytes]) -> Response | None:
        if self._token is None:
            return None if _of_this_machine(headers) else _wrong_host()
        if path.lstrip("/").split("/", 1)[0] in _OPEN:
            return None
        given = headers.get(b"authorization", b"")
        if hmac.compare_digest(given, b"Bearer " + self._token.encode()):
            return None
        what = "the token is wrong" if given else "this service wants a token"
        do = "send the header Authorization: Bearer TOKEN"
        return error_response(UserError(what, where="Authorization", do=do, code="no-access"))


def _of_this_machine(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the address in the request is a loopback one; a page elsewhere can make its own name point here."""
    host = headers.get(b"host", b"").decode("latin-1")
    return (host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host) in _LOOPBACK


def _wrong_host() -> Response:
    what = "without a token the service answers to the names of this machine only"
    do = f"ask for http://127.0.0.1, or start it with {TOKEN}"
    return error_response(UserError(what, where="Host", do=do, code="wrong-host"))


class _Answer:
    """One response: its status, its headers, and the body of a request that was refused before it was read."""

    def __init__(self, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._receive, self._send, self.status = receive, send, 499
        self._unread = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self._closing = False

    async def receive(self) -> Message:
        """Receive a part of the request."""
        message = await self._receive()
        self._unread = self._unread and bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status, self._closing = message["status"], self._unread
            close = [(b"connection", b"close")] if self._closing else []
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS, *close]}
        elif self._closing and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread:
                    await self.receive()
