"""The gate that every request passes: how many at once, not before when, and never past a cap."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from lecdsr.ask.budget import Budget

# A timer may fire a little before its moment by the clock; without this its pause would never end.
_TICK_S = 0.005


class Stopped(Exception):
    """The gate is shut: send nothing more."""


class Gate:
    """Admits requests: additive increase up to ``most``, halving when the server is overrun.

    It begins with a single request, so that a wrong key or an empty account is met once and not
    ``most`` times. Requests under way and outcomes not yet stored are together at most twice ``most``:
    so much a kill can lose. All methods but those named ``from_outside`` belong to the event loop's
    thread.
    """

    def __init__(self, most: int, budget: Budget) -> None:
        self._most, self.budget = most, budget
        self._limit = 1.0
        self._in_flight = 0
        self._unstored = 0
        self._open_at = 0.0  # moment before which nothing is sent
        self._halved_at = -1.0
        self._stop: BaseException | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resting: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def stop_reason(self) -> BaseException | None:
        """Why the gate was shut; None while it is open."""
        return self._stop

    async def enter(self, worst: float) -> float:
        """Wait for a place and reserve ``worst`` dollars; return the moment of sending.

        Every call is paired with :meth:`leave`.

        Raises:
            Stopped: the gate is shut, or a cap is reached.
        """
        while not self._admits(worst):
            place: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(place)
            await place
        self._in_flight += 1
        self.budget.reserve(worst)
        return time.monotonic()

    def leave(self, worst: float, cost: float) -> None:
        """Give the place back and count what the request cost."""
        self._in_flight -= 1
        self.budget.settle(worst, cost)
        self._wake()

    def received(self) -> None:
        """Count an outcome that waits to be stored."""
        self._unstored += 1

    def stored_from_outside(self, outcomes: int) -> None:
        """Outcomes are on the disk; from any thread."""
        if outcomes and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stored, outcomes)

    def succeeded(self) -> None:
        """Allow more at once: eight times as many a round at first, one more a round after a halving."""
        step = 7.0 if self._halved_at < 0 else 1.0 / self._limit
        self._limit = min(float(self._most), self._limit + step)
        self._wake()

    def limited(self, sent_at: float) -> None:
        """Halve what is allowed, once for all the requests that were under way together."""
        if sent_at >= self._halved_at:
            self._limit = max(1.0, self._limit / 2)
            self._halved_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Send nothing for this long."""
        self._open_at = max(self._open_at, time.monotonic() + seconds)
        self._loop.call_later(seconds, self._wake)

    async def rest(self, seconds: float) -> None:
        """Let one worker wait without a place.

        Raises:
            Stopped: the gate was shut meanwhile.
        """
        alarm: asyncio.Future[None] = self._loop.create_future()
        self._resting.add(alarm)
        timer = self._loop.call_later(seconds, _ring, alarm)
        try:
            if self._stop is None:
                await alarm
        finally:
            timer.cancel()
            self._resting.discard(alarm)
        if self._stop is not None:
            raise Stopped

    def shut(self, reason: BaseException) -> None:
        """Admit nothing more; the first reason given is kept."""
        self._stop = self._stop or reason
        for sleeper in (*self._waiting, *self._resting):
            _ring(sleeper)
        self._waiting.clear()

    def shut_from_outside(self, reason: BaseException) -> None:
        """:meth:`shut`, from any thread; nothing is admitted from this moment on."""
        self._stop = self._stop or reason
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.shut, reason)

    def _admits(self, worst: float) -> bool:
        if self._stop is None and self._places() > 0 and not self._paused():
            try:
                return self.budget.has_room(worst)
            except Exception as reached:
                self.shut(reached)
        if self._stop is not None:
            raise Stopped
        return False

    def _places(self) -> int:
        return min(int(self._limit), 2 * self._most - self._unstored) - self._in_flight

    def _stored(self, outcomes: int) -> None:
        self._unstored -= outcomes
        self._wake()

    def _paused(self) -> bool:
        return time.monotonic() < self._open_at - _TICK_S

    def _wake(self) -> None:
        """Let as many try as there are places; those that find none wait again at the end of the line."""
        if self._paused():
            return  # the timer of the pause comes here again
        for _ in range(min(len(self._waiting), self._places())):
            _ring(self._waiting.popleft())


def _ring(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
