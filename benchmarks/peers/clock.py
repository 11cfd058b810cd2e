"""Measure a training without its validations, and decide when it ends; the same for all sides of a comparison."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from lecdsr.core.console import say


class Budget(NamedTuple):
    """Limits of a training.

    Args:
        epochs: largest number of epochs.
        patience: epochs without a better validation score before the end.
        seconds: seconds of training after which no epoch begins, validations not counted; ``None`` is no limit.
        deadline: time of :func:`time.time` after which no epoch begins; ``None`` is no limit.
    """

    epochs: int
    patience: int
    seconds: float | None = None
    deadline: float | None = None


class EpochClock:
    """Clock of one training, which runs between :meth:`resume` and :meth:`pause`.

    Args:
        budget: limits of the training.
        device: where it computes; a GPU is waited for before the clock is read.
    """

    def __init__(self, budget: Budget, device: torch.device) -> None:
        self.budget, self.device = budget, device
        self.log: list[dict[str, float]] = []
        #: Why the training ended: ``patience``, ``epochs`` or ``time``; ``None`` while it goes on.
        self.ended: str | None = None
        self._wall = self._cpu = 0.0
        self._since: tuple[float, float] | None = None

    @property
    def best(self) -> dict[str, float] | None:
        """Row of the epoch with the best score, the first of equals; ``None`` before the first epoch."""
        return max(self.log, key=lambda row: row["ndcg@10"], default=None)

    def resume(self) -> None:
        """Let the clock run."""
        self._since = self._read()

    def pause(self) -> None:
        """Stop the clock."""
        if self._since is not None:
            wall, cpu = self._read()
            self._wall, self._cpu = self._wall + wall - self._since[0], self._cpu + cpu - self._since[1]
            self._since = None

    def reset(self) -> None:
        """Forget what was measured since the last epoch."""
        self._wall = self._cpu = 0.0
        self._since = None

    def record(self, score: float) -> bool:
        """Write down the epoch that was just trained, and return whether its score is the best so far."""
        before = self.best
        row = {"epoch": len(self.log) + 1, "seconds": round(self._wall, 3), "cpu": round(self._cpu, 3)}
        self.log.append({**row, "ndcg@10": round(score, 6)})
        say(f"epoch {row['epoch']}: {row['seconds']:.1f} s, NDCG@10 {score:.4f} on validation")
        self.reset()
        self.ended = self._why()
        return before is None or self.log[-1]["ndcg@10"] > before["ndcg@10"]

    def _why(self) -> str | None:
        best, budget, trained = self.best, self.budget, sum(row["seconds"] for row in self.log)
        assert best is not None
        if len(self.log) - best["epoch"] >= budget.patience:
            return "patience"
        if len(self.log) >= budget.epochs:
            return "epochs"
        late = budget.deadline is not None and time.time() > budget.deadline
        # On a GPU two epochs at least, because the first also pays for loading libraries onto it.
        least = 2 if self.device.type == "cuda" else 1
        long = budget.seconds is not None and trained > budget.seconds and len(self.log) >= least
        return "time" if late or long else None

    def _read(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()
