"""Run the service: load an export, listen, replace the export on SIGHUP, end after the last answer on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import torch
import uvicorn

from lecdsr.core.arrays import IntArray
from lecdsr.core.console import say, summary, warn
from lecdsr.core.errors import UserError
from lecdsr.core.memory import release_freed_memory
from lecdsr.serve.ann import Indexes
from lecdsr.serve.app import App
from lecdsr.serve.guard import TOKEN
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import LoadedExport, describe, load_export
from lecdsr.serve.protocol import Protocol
from lecdsr.serve.rank import Query, rank
from lecdsr.serve.worker import Service

IndexKind = Literal["exact", "ann"]
#: Users from whom the recall of an index is measured.
_MEASURED_USERS = 200
_MEASURED_K = 10
_SHORTEST_TOKEN = 16


def serve(folder: Path, host: str, port: int, index: IndexKind, limits: Limits) -> None:
    """Serve an export until interrupted or terminated.

    Args:
        folder: that ``lecdsr export`` wrote.
        host: address to listen on; any but a loopback one needs a token.
        port: 0 takes a free one.
        index: score all items, or those that an index proposes.
        limits: how much clients may ask for.

    Raises:
        UserError: the export is refused, the address cannot be used, a token is missing, or an extra is not installed.
    """
    token = read_token(host, os.environ)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing to replace yet, and by default it would end the process
    logging.getLogger("uvicorn.error").addFilter(_without_traceback)
    torch.set_num_threads(1)
    with _listen(host, port) as listening:
        app = App(load_service(folder, index), limits, token)
        config = uvicorn.Config(
            app.asgi(), http=Protocol, ws="none", lifespan="on", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=max(1, int(limits.seconds)), timeout_graceful_shutdown=limits.shutdown,
            limit_concurrency=limits.connections, backlog=limits.connections,
        )  # fmt: skip
        # uvicorn raises the signal that ended it once more, so that its caller knows; here it has done its work.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        server = uvicorn.Server(config)
        asyncio.run(_run(server, listening, app, folder, index, token is not None))
    say("stopped: every request that had begun is answered")


def _without_traceback(record: logging.LogRecord) -> bool:
    """Leave out of uvicorn's log what a failure says, which may be what a user sent."""
    record.exc_info = None
    return True


async def _run(
    server: Any, listening: socket.socket, app: App, folder: Path, index: IndexKind, has_token: bool
) -> None:
    """Run the server; on SIGHUP load the export once more beside it."""
    loop = asyncio.get_running_loop()
    asked: SimpleQueue[None] = SimpleQueue()
    threading.Thread(target=replace_when_asked, args=(app, folder, index, loop, asked), daemon=True).start()
    loop.add_signal_handler(signal.SIGHUP, asked.put, None)
    host, port = listening.getsockname()[:2]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    say(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}, with{'' if has_token else 'out'} a token")
    await serving


def replace_when_asked(
    app: App, folder: Path, index: IndexKind, loop: asyncio.AbstractEventLoop, asked: SimpleQueue[None]
) -> None:
    """Replace the export whenever it is asked for, without end; one load answers all who asked before it began."""
    while True:
        asked.get()
        while not asked.empty():
            asked.get()
        _replace(app, folder, index, loop)


def _replace(app: App, folder: Path, index: IndexKind, loop: asyncio.AbstractEventLoop) -> None:
    """Load an export and serve it; if it is refused, keep the one that is served."""
    try:
        service = load_service(folder, index)
        app.metrics.loads["taken"] += 1
        loop.call_soon_threadsafe(app.replace, service)
        del service
        say("the new export is served")
    except UserError as error:
        app.metrics.loads["refused"] += 1
        warn(f"the new export is refused, and the one before is still served: {error}")
    except Exception as error:
        app.metrics.loads["refused"] += 1
        warn(f"the new export cannot be loaded, and the one before is still served: {type(error).__name__}: {error}")
    finally:
        gc.collect()
        release_freed_memory()


def load_service(folder: Path, index: IndexKind) -> Service:
    """Load an export, build its indexes if they are wanted, and answer one request, so that the first is not slow.

    Raises:
        UserError: the export is refused, or the extra ``ann`` is not installed.
    """
    export = load_export(folder)
    service = Service(export, Indexes(export) if index == "ann" else None)
    facts = describe(export, folder)
    if service.indexes is not None:
        facts[f"recall@{_MEASURED_K} of the index"] = {
            export.names[key]: recall(service, domain) for domain, key in enumerate("xy")
        }
    none = np.zeros(0, np.int64)
    rank(*service, [Query(_some_user(export), none, none, (0, 1), 1, True)])
    summary("Serving", facts)
    return service


def _some_user(export: LoadedExport) -> int | None:
    return 0 if export.recommender.info.n_users else None


def recall(service: Service, domain: int) -> float:
    """Compute the share of the exact best items that the index finds, averaged over some users."""
    users = service.export.recommender.info.n_users
    none: IntArray = np.zeros(0, np.int64)
    shares = []
    for user in np.unique(np.linspace(0, users - 1, min(users, _MEASURED_USERS)).astype(int)):
        query = [Query(int(user), none, none, (domain,), _MEASURED_K, True)]
        exact, found = (set(rank(service.export, one, query)[0][domain].items) for one in (None, service.indexes))
        shares.append(len(exact & found) / max(1, len(exact)))
    return round(float(np.mean(shares)), 4)


def read_token(host: str, environment: Mapping[str, str]) -> str | None:
    """Return the token that clients must send; ``None`` is allowed on a loopback address alone.

    Raises:
        UserError: a token is missing, or too short to be one.
    """
    token = environment.get(TOKEN) or None
    if token is None and not _is_loopback(host):
        raise UserError(
            f"other machines can reach {host}, and there is no token that keeps strangers out",
            where="--host",
            do=f"set {TOKEN} to a secret of {_SHORTEST_TOKEN} characters or more, or leave --host out",
            code="no-token",
        )
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UserError(
            f"the token has fewer than {_SHORTEST_TOKEN} characters, or others than printable ASCII",
            where=TOKEN,
            do="make one, for example with: openssl rand -hex 32",
            code="weak-token",
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket first, so that a wrong address is refused before minutes of loading."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            where="--host, --port",
            do="choose another port, or 0 for a free one",
            code="port-in-use",
        ) from error
    return listening
