"""Rate limiter: bounds concurrent requests, honours pauses that the server asks for, and enforces the budget."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from lecdsr.ask.budget import Budget

# A timer may fire slightly early by the clock; without this tolerance its pause would never end.
_TICK_S = 0.005


class Stopped(Exception):
    """The rate limiter was stopped: send no further request."""


class RateLimiter:
    """Limiter that admits more concurrent requests step by step, and half as many after the server answers 429.

    It starts with a single request and admits at most ``max_concurrent``, so that a wrong key or an empty account
    costs one request. Requests in flight and outcomes not yet stored are together at most twice ``max_concurrent``,
    which bounds what a kill can lose. Except for the methods named ``threadsafe``, all methods must be called in the
    thread of the event loop.
    """

    def __init__(self, max_concurrent: int, budget: Budget) -> None:
        self._max_concurrent, self.budget = max_concurrent, budget
        self._limit = 1.0
        self._in_flight = 0
        self._unstored = 0
        self._paused_until = 0.0  # nothing is sent before this moment
        self._halved_at = -1.0
        self._stop_reason: BaseException | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sleeping: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def stop_reason(self) -> BaseException | None:
        """Why the limiter was stopped; None while it admits requests."""
        return self._stop_reason

    async def acquire(self, worst_cost: float) -> float:
        """Wait for a free slot and reserve ``worst_cost`` dollars; return the moment of sending.

        Every call is paired with :meth:`release`.

        Raises:
            Stopped: the limiter was stopped, or a cap is reached.
        """
        while not self._admits(worst_cost):
            slot: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(slot)
            await slot
        self._in_flight += 1
        self.budget.reserve(worst_cost)
        return time.monotonic()

    def release(self, worst_cost: float, cost: float) -> None:
        """Free the slot and count the actual cost of the request."""
        self._in_flight -= 1
        self.budget.settle(worst_cost, cost)
        self._wake()

    def count_received(self) -> None:
        """Count an outcome that waits to be stored."""
        self._unstored += 1

    def stored_threadsafe(self, outcomes: int) -> None:
        """Count outcomes that were stored; callable from any thread."""
        if outcomes and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stored, outcomes)

    def increase_limit(self) -> None:
        """Raise the limit: eightfold per round trip at first, by one per round trip after a halving."""
        step = 7.0 if self._halved_at < 0 else 1.0 / self._limit
        self._limit = min(float(self._max_concurrent), self._limit + step)
        self._wake()

    def reduce_limit(self, sent_at: float) -> None:
        """Halve the limit, once for all requests that were in flight together."""
        if sent_at >= self._halved_at:
            self._limit = max(1.0, self._limit / 2)
            self._halved_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Admit no request for this long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._loop.call_later(seconds, self._wake)

    async def sleep(self, seconds: float) -> None:
        """Let one worker wait without holding a slot.

        Raises:
            Stopped: the limiter was stopped meanwhile.
        """
        alarm: asyncio.Future[None] = self._loop.create_future()
        self._sleeping.add(alarm)
        timer = self._loop.call_later(seconds, _wake_one, alarm)
        try:
            if self._stop_reason is None:
                await alarm
        finally:
            timer.cancel()
            self._sleeping.discard(alarm)
        if self._stop_reason is not None:
            raise Stopped

    def stop(self, reason: BaseException) -> None:
        """Admit no further request; the first reason given is kept."""
        self._stop_reason = self._stop_reason or reason
        for waiter in (*self._waiting, *self._sleeping):
            _wake_one(waiter)
        self._waiting.clear()

    def stop_threadsafe(self, reason: BaseException) -> None:
        """Like :meth:`stop`, but callable from any thread; takes effect immediately."""
        self._stop_reason = self._stop_reason or reason
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop, reason)

    def _admits(self, worst_cost: float) -> bool:
        if self._stop_reason is None and self._free_slots() > 0 and not self._paused():
            try:
                return self.budget.has_room(worst_cost)
            except Exception as reached:
                self.stop(reached)
        if self._stop_reason is not None:
            raise Stopped
        return False

    def _free_slots(self) -> int:
        return min(int(self._limit), 2 * self._max_concurrent - self._unstored) - self._in_flight

    def _stored(self, outcomes: int) -> None:
        self._unstored -= outcomes
        self._wake()

    def _paused(self) -> bool:
        return time.monotonic() < self._paused_until - _TICK_S

    def _wake(self) -> None:
        """Wake as many waiting requests as there are free slots; those that find none queue again."""
        if self._paused():
            return  # the timer of the pause calls this again
        for _ in range(min(len(self._waiting), self._free_slots())):
            _wake_one(self._waiting.popleft())


def _wake_one(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
