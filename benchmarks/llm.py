"""Benchmark of 20,000 questions to a server on this machine: share of its capacity, processor time, memory.

The server takes 100 ms per reply and answers at most 64 requests at once; further ones get status 429. Its capacity is
therefore 640 replies per second. The baseline, in the same run, is the `openai` client with 64 coroutines that store
nothing, with fewer questions.

    python benchmarks/llm.py [--questions 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pyarrow as pa

from lecdsr.ask.openai_provider import OpenAIProvider
from lecdsr.ask.request import request_body, request_key, sent_part
from lecdsr.ask.run import ask
from lecdsr.ask.store import Store
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.memory import peak_memory
from lecdsr.core.schemas import QUESTIONS

LATENCY_S, AT_ONCE = 0.1, 64
CAPACITY = AT_ONCE / LATENCY_S
# As long as the prompt of a profile and its answer.
PROMPT, ANSWER = "1. [Kitchen] Iron pan, 28 cm | Smith | Pans\n" * 30, "likes iron pans and green tea " * 12


def http(status: str, body: str) -> bytes:
    """Build a complete HTTP reply."""
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


BUSY = http("429 Too Many Requests", json.dumps({"error": {"message": "busy"}}))
REPLY = http(
    "200 OK",
    json.dumps(
        {
            "model": "m",
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}],
            "usage": {"prompt_tokens": 400, "completion_tokens": 80},
        }
    ),
)


class Connection(asyncio.Protocol):
    """Minimal HTTP server: on two cores, a full one would distort the measurement."""

    busy = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer when the body is complete."""
        self.waiting += data
        head, end, body = self.waiting.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if not end or len(body) < int(length):
            return
        self.waiting = b""
        if Connection.busy >= AT_ONCE:
            self.transport.write(BUSY)
            return
        Connection.busy += 1
        asyncio.get_running_loop().call_later(LATENCY_S, self.reply)

    def reply(self) -> None:
        """Send the same answer to every question."""
        Connection.busy -= 1
        self.transport.write(REPLY)


def serve(port: multiprocessing.Queue[int]) -> None:
    """Run the server until it is killed."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def questions(count: int) -> pa.Table:
    """Make a table ``QUESTIONS`` with prompts of the usual length."""
    bodies = [request_body("system", f"{PROMPT}{number}", "m", 0.0, 200, 0) for number in range(count)]
    columns = [
        ["user"] * count,
        range(count),
        [0] * count,
        [request_key(body) for body in bodies],
        bodies,
        ["[]"] * count,
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, QUESTIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=QUESTIONS)


def resident() -> float:
    """Return the current memory of this process in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def sample_memory(stop: threading.Event, into: list[float]) -> None:
    """Record the memory twice a second."""
    while not stop.wait(0.5):
        into.append(resident())


def ours(table: pa.Table, url: str) -> Iterator[str]:
    """Ask all questions through the store; yield the lines to print."""
    environment = {"OPENAI_BASE_URL": url, "LECDSR_LLM_CONCURRENCY": str(AT_ONCE)}
    memory, stop = list[float](), threading.Event()
    threading.Thread(target=sample_memory, args=(stop, memory), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        began, cpu = time.perf_counter(), time.process_time()
        result = ask(table, OpenAIProvider(environment), store)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    stop.set()
    count = table.num_rows
    third = max(1, len(memory) // 3)
    yield f"lecdsr:  {len(result.texts):,} of {count:,} answered in {wall:.1f} s, {count / wall:.0f}/s"
    yield f"         {count / wall / CAPACITY:.1%} of the capacity of {CAPACITY:.0f}/s"
    yield f"         {cpu / count * 1e3:.2f} ms of processor time a question"
    yield (
        f"         memory {memory[third]:.0f} MB after a third, {memory[-1]:.0f} MB at the end "
        f"(answers held: {count * len(ANSWER) / 1e6:.0f} MB), peak "
        f"{peak_memory() / 1e6:.0f} MB"
    )


async def plain(table: pa.Table, url: str) -> str:
    """Ask with the `openai` client, and store nothing."""
    bodies = iter(table["body"].to_pylist())
    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=10)

    async def work() -> None:
        for body in bodies:
            await client.chat.completions.create(**sent_part(body))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    count = table.num_rows
    return f"openai:  {count / wall:.0f}/s, {count / wall / CAPACITY:.1%}, {cpu / count * 1e3:.2f} ms a question"


@exit_on_user_error()
def main() -> None:
    """Run both and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20_000)
    count = parser.parse_args().questions
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    table = questions(count)
    for line in ours(table, url):
        print(line, flush=True)
    print(asyncio.run(plain(table.slice(0, max(1, count // 5)), url)))
    server.terminate()


if __name__ == "__main__":
    main()
