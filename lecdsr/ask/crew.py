"""A bounded crew of threads over an iterator of questions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from lecdsr.ask.gate import Gate, Stopped
from lecdsr.ask.seam import Outcome, Question


class Crew:
    """Threads that take questions one by one and hand back outcomes.

    The threads are daemons: a server that never replies cannot keep the process alive.
    """

    def __init__(self, questions: Iterable[Question], work: Callable[[Question], Outcome], gate: Gate) -> None:
        self._questions, self._work, self._gate = iter(questions), work, gate
        self._take = threading.Lock()
        self._results: queue.SimpleQueue[tuple[Question, Outcome] | None] = queue.SimpleQueue()

    def outcomes(self, size: int) -> Iterator[tuple[Question, Outcome]]:
        """Yield outcomes as they come, those under way when the gate shuts included.

        Raises:
            BaseException: the reason for which the gate was shut.
        """
        at_work = size
        for _ in range(size):
            threading.Thread(target=self._run, daemon=True).start()
        try:
            while at_work:
                if (result := self._results.get()) is None:
                    at_work -= 1
                else:
                    yield result
        finally:
            # Also where the reader of the outcomes gives up; the first reason is the one that stays.
            self._gate.shut(Stopped())
        reason = self._gate.stop_reason
        if reason is not None and not isinstance(reason, Stopped):
            raise reason

    def _run(self) -> None:
        try:
            while (question := self._next()) is not None:
                self._results.put((question, self._work(question)))
        except Stopped:
            return
        except BaseException as error:
            # Not handled here: the thread that reads the outcomes raises it.
            self._gate.shut(error)
        finally:
            self._results.put(None)

    def _next(self) -> Question | None:
        with self._take:
            return next(self._questions, None) if self._gate.stop_reason is None else None
