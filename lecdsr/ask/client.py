"""HTTP client for servers with the OpenAI API: sends JSON, returns raw text, raises errors by kind.

The ``openai`` client takes two to three milliseconds of processor time per request, most of the client-side work
for a hundred thousand questions; see benchmarks/llm.py.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from lecdsr.ask.access import Access


class Refused(Exception):
    """The server replied with an error status."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class TimedOut(Exception):
    """No complete reply within the timeout; the server may have worked, and charged, all that time."""


class Unreachable(Exception):
    """No connection, or a broken one. ``sent``: the request may have reached the server."""

    def __init__(self, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class Client:
    """HTTP session with one server; must be used inside a running event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._proxy = _proxy(access.base_url)

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            # The rate limiter bounds the requests in flight; a second limit here would only hide it.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._access.timeout_s),
            headers={"Authorization": f"Bearer {self._access.key}", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, path: str, body: bytes) -> str:
        """Send a JSON body to ``base_url/path`` and return the raw reply.

        Raises:
            Refused: the status is not a success.
            TimedOut: no complete reply in time.
            Unreachable: no connection, or it broke before the reply was complete.
        """
        url = f"{self._access.base_url.rstrip('/')}/{path}"
        try:
            async with self._session.post(url, data=body, proxy=self._proxy, allow_redirects=False) as response:
                text = (await response.read()).decode("utf-8", "replace")
                if response.status >= 300:
                    raise Refused(response.status, text, response.headers)
                return text
        except TimeoutError:
            raise TimedOut from None
        except aiohttp.ClientConnectorError:
            raise Unreachable(sent=False) from None
        except aiohttp.ClientError:
            # Not chained: these exceptions hold the request with its headers.
            raise Unreachable(sent=True) from None


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
