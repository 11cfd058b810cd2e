"""Requests per second and latency of `lecdsr serve` against the plain way, one model call for each request.

Both sides are processes with the same HTTP code, the same untrained model and the same drawn pair, and take turns. The
plain one looks nothing up and ranks each request alone: `PairRecommender.recommend` once for each domain, with its
tables kept between requests. Clients ask one request after the other on connections that stay open. Every cell ends
after a number of requests or seconds, whichever comes first. Answers are compared with `PairRecommender.recommend`,
which `lecdsr recommend` prints. The clients run in this process and take their share of the processors.

    python -m benchmarks.serve
    python -m benchmarks.serve --export data/demo/export --clients 1 16 --memory 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
from rich.table import Table

from benchmarks.recommend_all import recommender_of
from lecdsr.core.console import console
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.schemas import DOMAINS, SECONDS_PER_DAY
from lecdsr.core.threads import prepare_environment
from lecdsr.recommend.export import export
from lecdsr.recommend.user import EPOCH
from lecdsr.serve import server, worker
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import LoadedExport, load_export
from lecdsr.serve.rank import Query, Ranked
from lecdsr.serve.worker import Answer

K = 10
DAY = "2016-05-01"


def plain_rank(loaded: LoadedExport, _: object, queries: Sequence[Query]) -> list[Answer]:
    """Rank items for requests one by one, by the model; takes the place of :func:`lecdsr.serve.rank.rank`."""
    return [plain_answer(loaded, query) for query in queries]


def plain_answer(loaded: LoadedExport, query: Query) -> Answer:
    """Rank items for one request."""
    one = loaded.recommender
    user, items, times = query.user, query.items, query.times
    if user is None:
        user = one.info.anonymous_user
    else:
        items, times = loaded.items.of(user), loaded.times.of(user)
    found = {}
    for domain in query.domains:
        lines = one.recommend(user, items, times, domain, query.k, not query.exclude_owned)
        found[domain] = Ranked([line.item for line in lines], [line.score for line in lines])
    return found


def serve_plainly(folder: Path) -> None:
    """Serve an export with one call of the model for each request."""
    for name, value in (("rank", plain_rank), ("batch_size", lambda _: 1)):
        setattr(worker, name, value)
    server.serve(folder, "127.0.0.1", 0, "exact", Limits())


class Side(NamedTuple):
    """A service under test: its address and its process."""

    url: str
    pid: int

    def memory(self) -> float:
        """Resident memory in MB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) / 1024 if found else 0.0


class Cell(NamedTuple):
    """What was measured with some clients: requests per second, and latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p95: float
    p99: float


@contextlib.contextmanager
def running(folder: Path, plain: bool, index: str) -> Iterator[Side]:
    """Start one side in a process of its own."""
    command = [sys.executable, "-m", "lecdsr.cli.main", "serve", str(folder), "--port", "0", "--index", index]
    command = [sys.executable, "-m", "benchmarks.serve", "--plain", str(folder)] if plain else command
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "recall" in line:
                    console.print(line.strip(), markup=False)
                if found := re.search(r"listening on (http://[^,]+),", line):
                    yield Side(found[1], process.pid)
                    break
            else:
                raise SystemExit("the service does not start")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def bodies(loaded: LoadedExport, known: bool, count: int) -> list[bytes]:
    """Draw requests: known users, or anonymous histories of 3 to 20 items."""
    random, one = np.random.default_rng(2), loaded.recommender
    drawn = []
    for _ in range(count):
        if known:
            user = loaded.recommender.users["reviewer"][int(random.integers(one.info.n_users))].as_py()
            drawn.append({"user": user, "k": K})
        else:
            items = random.integers(0, one.info.n_items, random.integers(3, 21))
            history = [loaded.catalogue.item(int(item)).asin for item in items]
            drawn.append({"history": history, "day": DAY, "k": K})
    return [json.dumps(body).encode() for body in drawn]


async def measure(side: Side, requests: list[bytes], clients: int, most: int, seconds: float) -> Cell:
    """Let clients ask one request after the other."""
    taken: list[float] = []
    begin = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:

        async def ask(first: int) -> None:
            place = first
            while len(taken) < most and time.perf_counter() - begin < seconds:
                start = time.perf_counter()
                await post(session, side, requests[place % len(requests)])
                taken.append(time.perf_counter() - start)
                place += clients

        await asyncio.gather(*(ask(place) for place in range(clients)))
    passed = time.perf_counter() - begin
    p50, p95, p99 = (float(value) * 1000 for value in np.percentile(taken, [50, 95, 99]))
    return Cell(len(taken), len(taken) / passed, p50, p95, p99)


async def post(session: aiohttp.ClientSession, side: Side, body: bytes) -> bytes:
    """Ask for recommendations; anything but an answer ends the benchmark."""
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{side.url}/recommend", data=body, headers=headers) as reply:
        answer = await reply.read()
        if reply.status != 200:
            raise SystemExit(answer.decode())
        return answer


async def equal_share(side: Side, loaded: LoadedExport, requests: list[bytes]) -> float:
    """Share of lists that hold the items of `lecdsr recommend` in the same order; all are asked for at once."""
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(post(session, side, body) for body in requests))
    same = [
        [one["asin"] for one in json.loads(answer)["recommendations"][DOMAINS[domain]]] == expected
        for body, answer in zip(requests, answers, strict=True)
        for domain, expected in enumerate(wanted(loaded, json.loads(body)))
    ]
    return float(np.mean(same))


def wanted(loaded: LoadedExport, body: dict[str, Any]) -> list[list[str]]:
    """What the recommender gives for a request in each domain."""
    one = loaded.recommender
    if "user" in body:
        user = one.user_id(body["user"])
        items, times = one.history(user)
    else:
        user = one.info.anonymous_user
        items = np.array([loaded.catalogue.find(asin, "").item for asin in body["history"]], np.int64)
        day = (datetime.date.fromisoformat(body["day"]) - EPOCH).days
        times = np.full(len(items), day * SECONDS_PER_DAY)
    return [[line.asin for line in one.recommend(user, items, times, domain, K)] for domain in (0, 1)]


def drawn_export(folder: Path, model: str, users: int, items: int, vectors: int) -> Path:
    """Export an untrained model of a drawn pair."""
    one = recommender_of(model, users, items, vectors)
    config = {
        **{"model": model, "settings": one.trained.model_dump(mode="json"), "seed": 1},
        **{"n_x": one.info.n_x, "n_y": one.info.n_y, "n_users": one.info.n_users},
    }
    export(replace(one, config=config), {"pair": "drawn", "domains": {"x": "X", "y": "Y"}, "model": model}, folder)
    return folder


def compare(folder: Path, arguments: Any) -> None:
    """Measure both sides by turns and print."""
    loaded = load_export(folder)
    head = ("requests", "clients", "side", "n", "per second", "p50 ms", "p95 ms", "p99 ms", "ratio")
    size = " and ".join(
        f"{name} {end}"
        for name, end in zip("xy", (loaded.recommender.info.n_x, loaded.recommender.info.n_y), strict=True)
    )
    table = Table(*head, title=f"Top {K} of both domains, items: {size}, {arguments.index}")
    equal, memory = {}, []
    with running(folder, False, arguments.index) as ours, running(folder, True, "exact") as plain:
        for name in ("known users", "anonymous"):
            asked = bodies(loaded, name == "known users", 2000)
            equal[name] = asyncio.run(equal_share(ours, loaded, asked[: arguments.compared]))
            for clients in arguments.clients:
                cells = [
                    asyncio.run(measure(side, asked, clients, arguments.requests, arguments.seconds))
                    for side in (plain, ours)
                ]
                for label, cell in zip(("plain", "serve"), cells, strict=True):
                    figures = [f"{value:,.1f}" for value in cell[1:]]
                    ratio = f"{cell.rate / cells[0].rate:.1f}"
                    table.add_row(name, str(clients), label, f"{cell.requests:,}", *figures, ratio)
    with running(folder, False, arguments.index) as ours:
        asked, done = bodies(loaded, True, 1000) + bodies(loaded, False, 1000), 0
        for count in sorted(arguments.memory):
            asyncio.run(measure(ours, asked, 16, count - done, float("inf")))
            done = count
            memory.append(f"{ours.memory():,.0f} MB after {count:,} requests")
    console.print(table)
    console.print("equal lists: " + ", ".join(f"{name} {share:.1%}" for name, share in equal.items()))
    console.print("memory: " + ", ".join(memory))


@exit_on_user_error()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, help="an export to serve; default a drawn pair")
    parser.add_argument("--model", default="tandem", help="model of the drawn pair (tandem)")
    parser.add_argument("--users", type=int, default=7144, help="users of the drawn pair (7144, Food–Kitchen)")
    parser.add_argument("--items", type=int, default=14_000, help="items of each of its domains (14000)")
    parser.add_argument("--vectors", type=int, default=384, help="width of its text vectors (384)")
    parser.add_argument("--index", choices=["exact", "ann"], default="exact", help="how the service ranks (exact)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64], help="clients at once (1 16 64)")
    parser.add_argument("--requests", type=int, default=20_000, help="most requests of a cell (20000)")
    parser.add_argument("--seconds", type=float, default=10, help="most seconds of a cell (10)")
    parser.add_argument("--compared", type=int, default=100, help="requests whose lists are compared (100)")
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[1000], help="requests after which memory is read (1000)"
    )
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        serve_plainly(arguments.plain)
    elif arguments.export:
        compare(arguments.export, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            sizes = (arguments.model, arguments.users, arguments.items, arguments.vectors)
            compare(drawn_export(Path(folder) / "export", *sizes), arguments)


if __name__ == "__main__":
    prepare_environment()
    main()
