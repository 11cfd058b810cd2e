"""Counters of the service in the text format of Prometheus; no value comes from what a user sent."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from lecdsr.core.memory import resident_memory

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32)


class Histogram:
    """Counts of observations up to each of some limits.

    Args:
        limits: ascending.
    """

    def __init__(self, limits: Sequence[float]) -> None:
        self._limits, self._counts, self._sum = limits, [0] * (len(limits) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._limits, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Yield the samples of the histogram."""
        total, before = 0, f"{labels}," if labels else ""
        for limit, count in zip((*self._limits, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{before}le="{limit}"}} {total}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {self._sum:.6f}"
        yield f"{name}_count{braces} {total}"


class Metrics:
    """What the service has done since it started."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self.batches = Histogram(_SIZES)
        self.active = 0
        self.loads: Counter[str] = Counter()
        self.export: dict[str, str] = {}
        self.loaded_at = 0.0

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: one of the few routes of the service.
            status: of the response.
            seconds: from the head of the request to the end of the response.
        """
        self._requests[route, status] += 1
        self._seconds.setdefault(route, Histogram(_SECONDS)).observe(seconds)

    def text(self) -> str:
        """Return all values in the text format of Prometheus."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _head("lecdsr_requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self._requests.items()):
            yield f'lecdsr_requests_total{{route="{route}",status="{status}"}} {count}'
        yield from _head("lecdsr_request_seconds", "histogram", "Time of a request by route.")
        for route, histogram in sorted(self._seconds.items()):
            yield from histogram.lines("lecdsr_request_seconds", f'route="{route}"')
        yield from _head("lecdsr_batch_size", "histogram", "Requests ranked together.")
        yield from self.batches.lines("lecdsr_batch_size")
        yield from _head("lecdsr_loads_total", "counter", "Exports that were taken or refused.")
        for result in ("taken", "refused"):
            yield f'lecdsr_loads_total{{result="{result}"}} {self.loads[result]}'
        yield from _head("lecdsr_export_info", "gauge", "The export that is served.")
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in self.export.items())
        yield f"lecdsr_export_info{{{labels}}} 1"
        gauges = {
            "lecdsr_requests_active": ("Requests being answered.", self.active),
            "lecdsr_export_loaded_timestamp_seconds": ("When the export was loaded.", f"{self.loaded_at:.0f}"),
            "process_start_time_seconds": ("When the service started.", f"{self._started:.0f}"),
            "process_resident_memory_bytes": ("Memory of the process.", resident_memory()),
        }
        for name, (text, value) in gauges.items():
            yield from _head(name, "gauge", text)
            yield f"{name} {value}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
