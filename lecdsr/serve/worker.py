"""One thread that ranks all waiting requests together, so that the event loop never waits for arithmetic.

Nothing is delayed to fill a batch: while one batch is computed, the next requests arrive.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from typing import NamedTuple

from lecdsr.serve.ann import Indexes
from lecdsr.serve.load import LoadedExport
from lecdsr.serve.metrics import Metrics
from lecdsr.serve.rank import Query, Ranked, batch_size, rank


class Service(NamedTuple):
    """What answers requests: an export, and the indexes built from it if there are any."""

    export: LoadedExport
    indexes: Indexes | None


Answer = dict[int, Ranked]
Waiting = tuple[Service, Query, "asyncio.Future[Answer]"]


class Worker:
    """Ranks the requests of all clients in one thread, in the order in which they arrive.

    A request belongs to the export that was served when it arrived, so an export is replaced without losing one.

    Args:
        metrics: where batches are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rank", daemon=True)
        self._thread.start()

    async def rank(self, service: Service, query: Query) -> Answer:
        """Rank items for one request.

        Raises:
            UserError: a score is NaN.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put((service, query, future))
        return await future

    def close(self) -> None:
        """End the thread after what is waiting."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            ended, batch = self._batch(first)
            self._metrics.batches.observe(len(batch))
            _answer(batch)
            if ended:
                return

    def _batch(self, first: Waiting) -> tuple[bool, list[Waiting]]:
        """Take the requests that wait now, up to a full batch; also whether the thread is to end."""
        batch, most = [first], batch_size(first[0].export)
        while len(batch) < most:
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                break
            if one is None:
                return True, batch
            batch.append(one)
        return False, batch


def _answer(batch: Sequence[Waiting]) -> None:
    """Answer a batch; the requests of each export are ranked together."""
    for service in {id(one): one for one, _, _ in batch}.values():
        mine = [waiting for waiting in batch if waiting[0] is service]
        try:
            answers: Sequence[Answer | BaseException] = rank(*service, [query for _, query, _ in mine])
        except Exception as error:
            # One request must not fail those that happened to wait with it.
            answers = [error] if len(mine) == 1 else [_alone(service, query) for _, query, _ in mine]
        futures = [future for _, _, future in mine]
        futures[0].get_loop().call_soon_threadsafe(_resolve, futures, answers)


def _alone(service: Service, query: Query) -> Answer | BaseException:
    try:
        return rank(*service, [query])[0]
    except Exception as error:
        return error


def _resolve(futures: Sequence[asyncio.Future[Answer]], answers: Sequence[Answer | BaseException]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # its client is gone
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
