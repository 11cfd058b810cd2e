"""The gate that every request passes: how many at once, not before when, and never past a cap."""

from __future__ import annotations

import threading
import time

from lecdsr.ask.access import MAX_REQUESTS
from lecdsr.ask.verdict import KEPT
from lecdsr.base.errors import UserError


class Stopped(Exception):
    """The gate is shut: send nothing more."""


class Gate:
    """Admits requests: additive increase up to ``most``, halving when the server is overrun.

    It begins with a single request, so that a wrong key or an empty account is met once and not
    ``most`` times.
    """

    def __init__(self, most: int, max_requests: int | None) -> None:
        self._most, self._max_requests = most, max_requests
        self._limit = 1.0
        self._in_flight = self._requests = 0
        self._open_at = 0.0  # moment before which nothing is sent
        self._halved_at = -1.0
        self._stop: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def stop_reason(self) -> BaseException | None:
        """Why the gate was shut; None while it is open."""
        return self._stop

    def enter(self) -> float:
        """Wait for a place; return the moment of sending. Every call is paired with :meth:`leave`.

        Raises:
            Stopped: the gate is shut, or the cap on requests is reached.
        """
        with self._changed:
            while self._stop is None and (wait := self._wait()) != 0:
                self._changed.wait(wait)
            if self._stop is None and self._requests == self._max_requests:
                self._shut(_cap_reached(self._requests))
            if self._stop is not None:
                raise Stopped
            self._in_flight += 1
            self._requests += 1
            return time.monotonic()

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def succeeded(self) -> None:
        """Allow more at once: twice as many a round at first, one more a round after a halving."""
        with self._changed:
            step = 1.0 if self._halved_at < 0 else 1.0 / self._limit
            self._limit = min(float(self._most), self._limit + step)
            self._changed.notify_all()

    def limited(self, sent_at: float) -> None:
        """Halve what is allowed, once for all the requests that were under way together."""
        with self._changed:
            if sent_at >= self._halved_at:
                self._limit = max(1.0, self._limit / 2)
                self._halved_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Send nothing for this long."""
        with self._changed:
            self._open_at = max(self._open_at, time.monotonic() + seconds)

    def rest(self, seconds: float) -> None:
        """Let one worker wait without a place.

        Raises:
            Stopped: the gate was shut meanwhile.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while self._stop is None and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stop is not None:
                raise Stopped

    def shut(self, reason: BaseException) -> None:
        """Admit nothing more; the first reason given is kept."""
        with self._changed:
            self._shut(reason)

    def _shut(self, reason: BaseException) -> None:
        self._stop = self._stop or reason
        self._changed.notify_all()

    def _wait(self) -> float | None:
        """Seconds until a place may be free; None: until something changes; 0: now."""
        if self._in_flight >= int(self._limit):
            return None
        return max(0.0, self._open_at - time.monotonic())


def _cap_reached(requests: int) -> UserError:
    return UserError(
        f"the cap of {requests} requests is reached and questions are left",
        where=MAX_REQUESTS,
        do=f"raise or unset it; {KEPT}",
    )
