"""The routes of the service."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import lecdsr
from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY
from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.user import EPOCH, TargetUser, missing_history, read_day
from lecdsr.serve import messages
from lecdsr.serve.guard import Guard, error_response, internal_error, route_of
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import LoadedExport
from lecdsr.serve.messages import encode
from lecdsr.serve.metrics import Metrics
from lecdsr.serve.openapi import openapi
from lecdsr.serve.rank import Query, Ranked
from lecdsr.serve.worker import Service, Worker

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

_STATIC = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "static").glob("*.*"))}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class App:
    """The service: what it serves now, and how it answers.

    Args:
        service: the export to serve; :meth:`replace` takes another.
        limits: how much clients may ask for.
        token: what clients must send; ``None`` is none.
    """

    def __init__(self, service: Service, limits: Limits, token: str | None = None) -> None:
        self.limits, self._token = limits, token
        self.metrics = Metrics()
        self.replace(service)
        self._worker = Worker(self.metrics)
        # Reading a history and searching titles take milliseconds, explanations a hundred times as long.
        self._short, self._long = (ThreadPoolExecutor(1, name) for name in ("short", "long"))
        self._answering = _Slots("requests", limits.requests)
        self._explaining = _Slots("explanations", limits.explanations)

    def replace(self, service: Service) -> None:
        """Serve another export from now on; requests under way are answered from the one before."""
        self._service = service
        self.metrics.export = {key: str(service.export.facts.get(key)) for key in ("pair", "model")}
        self.metrics.loaded_at = datetime.datetime.now(datetime.UTC).timestamp()

    def asgi(self) -> ASGIApp:
        """Return the application that a server runs."""
        routes = [
            Route("/", self._endpoint(self._page), methods=["GET"]),
            Route("/static/{name}", self._endpoint(self._file), methods=["GET"]),
            Route("/recommend", self._endpoint(self._recommend), methods=["POST"]),
            Route("/explain", self._endpoint(self._explain), methods=["POST"]),
            Route("/similar/{item:path}", self._endpoint(self._similar), methods=["GET"]),
            Route("/items", self._endpoint(self._items), methods=["GET"]),
            Route("/health", self._endpoint(self._health), methods=["GET"]),
            Route("/metrics", self._endpoint(self._metrics), methods=["GET"]),
            Route("/openapi.json", self._endpoint(self._openapi), methods=["GET"]),
        ]
        app = Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_route})
        app.router.redirect_slashes = False
        return Guard(app, self.metrics, self._token)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._worker.close()
        for pool in (self._short, self._long):
            pool.shutdown(cancel_futures=True)

    def _endpoint(self, answer: Endpoint) -> Endpoint:
        """Wrap a route so that every failure is one JSON message."""

        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request)
            except UserError as error:
                return error_response(error)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:
                return internal_error(error, route_of(request.url.path))

        return endpoint

    # Routes

    async def _page(self, _: Request) -> Response:
        return _file("index.html")

    async def _file(self, request: Request) -> Response:
        return _file(request.path_params["name"])

    async def _recommend(self, request: Request) -> Response:
        asked = messages.read_recommend(await self._body(request))
        service = self._service
        export = service.export
        domains = _domains(export, asked.domain)
        with self._answering.take():
            user = await self._user(export, asked)
            anonymous = user.reviewer is None
            history = (user.items, user.times)
            query = Query(None if anonymous else user.row, *history, domains, asked.k, asked.exclude_owned)
            found = await self._worker.rank(service, query)
            return _json(_recommendations(export, user, asked.latest, found))

    async def _explain(self, request: Request) -> Response:
        asked = messages.read_explain(await self._body(request))
        export = self._service.export
        with self._answering.take(), self._explaining.take():
            user = await self._user(export, asked)
            return _json(await self._run(self._long, lambda: _explanation(export, user, asked.item)))

    async def _similar(self, request: Request) -> Response:
        export = self._service.export
        domains, k = _domains(export, request.query_params.get("domain", "both")), _k(request, messages.MOST_ITEMS, 10)
        name = request.path_params["item"]
        with self._answering.take(), self._explaining.take():
            return _json(await self._run(self._long, lambda: _similar_items(export, name, domains, k)))

    async def _items(self, request: Request) -> Response:
        export = self._service.export
        text, k = request.query_params.get("query", ""), _k(request, messages.MOST_FOUND, 20)
        domains = _domains(export, request.query_params.get("domain", "both"))
        if not text.strip() or len(text) > 200:
            what = "the query is empty" if not text.strip() else "the query has more than 200 characters"
            raise UserError(what, where="query", do="give words of a title: /items?query=tea", code="wrong-value")
        domain = domains[0] if len(domains) == 1 else None
        with self._answering.take():
            found = await self._run(self._short, lambda: export.catalogue.search(text, domain, k))
            return _json(messages.Items([messages.Item(*export.catalogue.item(item)) for item in found]))

    async def _health(self, _: Request) -> Response:
        export = self._service.export
        info, facts = export.recommender.info, export.facts
        sizes = {"x": info.n_x, "y": info.n_y}
        anonymous = export.recommender.user_input != "embedding"
        names = (str(facts.get("pair")), str(facts.get("model")), export.names)
        examples = [messages.Item(*export.catalogue.item(number)) for number in export.catalogue.examples]
        return _json(messages.Health("ok", *names, info.n_users, sizes, anonymous, examples, lecdsr.__version__))

    async def _metrics(self, _: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _openapi(self, _: Request) -> Response:
        return _json(openapi(self._service.export, self._token is not None))

    # What routes share

    async def _body(self, request: Request) -> bytes:
        """Read the body of a request.

        Raises:
            UserError: it is not declared as JSON, is too large, or does not arrive in time.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UserError(
                "the body is not declared as JSON",
                where="Content-Type",
                do="send the header Content-Type: application/json",
                code="wrong-content-type",
            )
        if int(request.headers.get("content-length", 0)) > self.limits.body:
            raise self._too_large()
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for part in request.stream():
                    parts.append(part)
                    size += len(part)
                    if size > self.limits.body:
                        raise self._too_large()
        except TimeoutError:
            what = f"the body did not arrive within {self.limits.seconds:g} seconds"
            raise UserError(what, where="body", do="send it at once", code="timeout") from None
        return b"".join(parts)

    def _too_large(self) -> UserError:
        what = f"the body is larger than {self.limits.body:,} bytes"
        return UserError(what, where="body", do="send a shorter history", code="too-large")

    async def _user(
        self, export: LoadedExport, asked: messages.RecommendRequest | messages.ExplainRequest
    ) -> TargetUser:
        """Find the user of a request, or build an anonymous one."""
        if asked.user is not None and asked.history is not None:
            raise UserError(
                "user and history are both given", where="user, history", do="give one of them", code="both-given"
            )
        if asked.user is None:
            return await self._run(self._short, lambda: _anonymous(export, asked.history or [], asked.day))
        if asked.day is not None:
            raise UserError(
                "day applies to history only", where="day", do="leave it out: a user has days", code="needless-day"
            )
        row = export.user(asked.user)
        history = (export.items.of(row), export.times.of(row))
        notes = tuple(missing_history(export.recommender, history[0]))
        return TargetUser(asked.user, row, *history, export.recommender.profiles.get(row), notes)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


class _Slots:
    """Counts what is being answered, up to a limit.

    Args:
        what: is counted, for the message.
        most: of it at once.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most, self.taken = what, most, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Count a request while it is answered.

        Raises:
            UserError: there are too many.
        """
        if self.taken >= self._most:
            what = f"{self._most} {self._what} are being answered already"
            raise UserError(what, do="try again in a second", code="busy")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")


def _file(name: str) -> Response:
    if name not in _STATIC:
        raise _not_found()
    return Response(_STATIC[name], media_type=_KINDS[Path(name).suffix])


def _not_found() -> UserError:
    return UserError("there is no such address", do="see /openapi.json for all of them", code="not-found")


async def _no_route(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        what = "this address does not take this method"
        response = error_response(UserError(what, do="see /openapi.json", code="wrong-method"))
        response.headers.update(error.headers or {})
        return response
    return error_response(_not_found())


def _domains(export: LoadedExport, text: str) -> tuple[int, ...]:
    """Read a domain: x, y, the name of one of them, or both."""
    if text == "both":
        return (0, 1)
    for code, key in enumerate(DOMAINS):
        if text.casefold() in (key, export.names[key].casefold()):
            return (code,)
    shown = ", ".join(f"{key} ({name})" for key, name in export.names.items())
    raise UserError(f"there is no domain {text!r}", where="domain", do=f"give {shown}, or both", code="wrong-domain")


def _k(request: Request, most: int, default: int) -> int:
    text = request.query_params.get("k", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise UserError(f"k is not a number from 1 to {most}", where="k", do=f"give k={default}", code="wrong-value")
    return int(text)


def _anonymous(export: LoadedExport, history: list[str | messages.HistoryItem], default_day: str | None) -> TargetUser:
    """Build an anonymous user from the history of a request; items of one day keep their order.

    Raises:
        UserError: an item is unknown, a day is wrong, there is no item, or the model cannot answer anonymous users.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    usual = today if default_day is None else _day(default_day, today, "day")
    rows, notes = [], []
    for place, one in enumerate(history):
        name, day = (one, None) if isinstance(one, str) else (one.item, one.day)
        found = export.catalogue.find(name, f"history[{place}]")
        when = usual if day is None else _day(day, today, f"history[{place}].day")
        rows.append((found.item, (when - EPOCH).days))
        notes += [found.note] if found.note else []
    if not rows:
        do = 'give a user, or items: {"history": ["ASIN", "a title"]}'
        raise UserError("the history is empty", where="history", do=do, code="empty-history")
    recommender = export.recommender
    recommender.check_anonymous()
    rows.sort(key=lambda row: row[1])
    items = np.array([item for item, _ in rows], np.int64)
    times = np.array([day for _, day in rows], np.int64) * SECONDS_PER_DAY
    if recommender.user_input == "profile":
        notes.append("an anonymous user has no profile: the model scores as for users of the pair without one")
    notes += missing_history(recommender, items)
    return TargetUser(None, recommender.info.anonymous_user, items, times, None, tuple(notes))


def _day(text: str, today: datetime.date, where: str) -> datetime.date:
    day = read_day(text, where)
    # It may be tomorrow already where the client is.
    if not EPOCH <= day <= today + datetime.timedelta(days=1):
        what = f"{text!r} is in the future" if day > today else f"{text!r} is before 1970-01-01"
        raise UserError(what, where=where, do="give the day of the interaction", code="wrong-day")
    return day


def _recommendations(
    export: LoadedExport, user: TargetUser, latest: int, found: dict[int, Ranked]
) -> messages.Recommendations:
    best = {DOMAINS[code]: _scored(export, ranked) for code, ranked in sorted(found.items())}
    history = _history(export, user.items, user.times, latest)
    profile = user.profile if latest else None
    return messages.Recommendations(*_facts(export), export.names, user.reviewer, profile, history, [*user.notes], best)


def _scored(export: LoadedExport, ranked: Ranked) -> list[messages.ScoredItem]:
    item = export.catalogue.item
    return [messages.ScoredItem(*item(one), score) for one, score in zip(*ranked, strict=True)]


def _history(export: LoadedExport, items: IntArray, times: IntArray, latest: int) -> list[messages.DatedItem]:
    chosen = slice(max(0, len(items) - latest), None)
    rows = zip(items[chosen].tolist(), times[chosen].tolist(), strict=True)
    return [messages.DatedItem(*export.catalogue.item(item), _written(time)) for item, time in rows]


def _written(time: int) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).date().isoformat()


def _facts(export: LoadedExport) -> tuple[str, str]:
    return str(export.facts.get("pair")), str(export.facts.get("model"))


def _explanation(export: LoadedExport, user: TargetUser, name: str) -> messages.Explanation:
    found = export.catalogue.find(name, "item")
    why, item = explain(export.recommender, user, found.item), export.catalogue.item
    rows = zip(user.items.tolist(), why.contributions, strict=True)
    history = [messages.Contribution(*item(one), part.line.when, *part[1:]) for one, part in rows]
    notes = [note for note in (found.note, *user.notes) if note]
    facts = (*_facts(export), user.reviewer, messages.Item(*item(found.item)), why.item.score, why.rank, why.among)
    return messages.Explanation(*facts, why.owned, why.parts or None, why.not_split or None, history, notes)


def _similar_items(export: LoadedExport, name: str, domains: tuple[int, ...], k: int) -> messages.Similar:
    found, item = export.catalogue.find(name, "item"), export.catalogue.item
    near = {
        DOMAINS[code]: [
            messages.SimilarItem(*item(line.item), line.score)
            for line in similar(export.recommender, found.item, code, k)
        ]
        for code in domains
    }
    notes = [found.note] if found.note else []
    return messages.Similar(*_facts(export), messages.Item(*item(found.item)), notes, near)
