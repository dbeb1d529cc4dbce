"""Timing that can be trusted: interleaved blocks of calls, medians, minima, page faults."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

try:
    import resource
except ImportError:  # not on this system: page faults are then unknown
    resource = None  # type: ignore[assignment]

MILLISECONDS = 1e3


@dataclass
class Timing:
    """What the blocks of one implementation took."""

    milliseconds: list[float] = field(default_factory=list)
    """Of a call, the mean of each block."""
    faults: list[float] = field(default_factory=list)
    """Minor page faults of a call: pages of memory that it touched first."""
    calls: int = 1
    """In a block."""

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def minimum(self) -> float:
        return min(self.milliseconds)

    def record(self) -> dict[str, Any]:
        """As a report's row has it."""
        found: dict[str, Any] = {
            "median_ms": round(self.median, 4),
            "minimum_ms": round(self.minimum, 4),
            "blocks": len(self.milliseconds),
            "calls_in_a_block": self.calls,
        }
        if self.faults:
            found["page_faults"] = round(statistics.median(self.faults), 1)
        return found


def _block(run: Callable[[], Any], timing: Timing) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0
    start = time.perf_counter()
    for _ in range(timing.calls):
        run()
    elapsed = time.perf_counter() - start
    if resource:
        after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        timing.faults.append((after - before) / timing.calls)
    timing.milliseconds.append(elapsed * MILLISECONDS / timing.calls)


def interleaved(
    runs: Mapping[str, Callable[[], Any]], seconds: float, *, least: int = 5, block_ms: float = 4.0
) -> dict[str, Timing]:
    """Blocks of every run in turn, so that a disturbance meets them all.

    A block is one call, or as many as take `block_ms`: short calls are then measured as a loop over them
    would run, caches warm, and not by the clock's resolution. One call of each before them does not count.
    """
    timings = {name: Timing() for name in runs}
    for name, run in runs.items():
        trial = Timing()
        _block(run, trial)
        timings[name].calls = max(1, min(1000, int(block_ms / trial.minimum)))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or any(len(t.milliseconds) < least for t in timings.values()):
        for name, run in runs.items():
            _block(run, timings[name])
    return timings
