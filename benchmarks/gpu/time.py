"""Timing on a GPU: CUDA events around calls, and around replays of a graph of many calls over several sets of
data. On a CPU, where only the program itself is tried, a clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Run = Callable[[], Any]
MILLISECONDS = 1e3
SETS = 4
"""Bases that the calls of a graph go through: together larger than the second-level cache."""
CALLS = 20
"""Of a graph, where they are short: the gap between two replays then does not count."""
LONGEST = 20.0
"""Milliseconds of a graph of several calls."""


def captured(run: Run, *more: Run, calls: int = 1) -> tuple[Callable[[], None], Any]:
    """Calls of the runs in turn as one CUDA graph: what replays it, and the result of its last call."""
    runs = (run, *more)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is built, tuned or allocated at first calls is so before
        for _ in range(3):
            for each in runs:
                each()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    found = None
    with torch.cuda.graph(graph):
        for number in range(calls):
            found = runs[number % len(runs)]()
    return graph.replay, found


@dataclass
class Taken:
    """Milliseconds of one run: medians and minima over blocks, by the way of running it."""

    milliseconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        found: dict[str, Any] = {
            way: {"median_ms": round(median, 6), "minimum_ms": round(minimum, 6)}
            for way, (median, minimum) in self.milliseconds.items()
        }
        if self.notes:
            found["notes"] = self.notes
        return found


class Stopwatch:
    """Times runs on one device; `seconds` is spent on each way of running."""

    def __init__(self, device: torch.device, seconds: float = 0.25) -> None:
        self.device, self.seconds = device, seconds

    def take(self, runs: Sequence[Run], *, uncaptured: str | None = None) -> Taken:
        """Times calls of the first run, and a graph of calls of all in turn, unless a reason is given."""
        taken = Taken()
        if self.device.type != "cuda":
            taken.milliseconds["calls"] = self._clock(runs[0])
            if uncaptured:
                taken.notes.append(f"not captured: {uncaptured}")
            return taken
        for _ in range(3):
            runs[0]()
        torch.cuda.synchronize()
        taken.milliseconds["calls"] = self._blocks(runs[0])
        if uncaptured:
            taken.notes.append(f"not captured: {uncaptured}")
            return taken
        calls = max(1, min(CALLS, int(LONGEST / taken.milliseconds["calls"][0])))
        try:
            replay, found = captured(*runs, calls=calls)
        except RuntimeError as error:
            torch.cuda.synchronize()
            taken.notes.append("not captured: " + " ".join(str(error).split())[:200])
            return taken
        median, least = self._blocks(replay)
        taken.milliseconds["graph"] = median / calls, least / calls
        del found
        return taken

    def _clock(self, run: Run) -> tuple[float, float]:
        run()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * MILLISECONDS)
        return statistics.median(times), min(times)

    def _blocks(self, run: Run) -> tuple[float, float]:
        """As many runs in a block as take 2 ms: an event's own microsecond then does not count."""
        once = max(self._between(run, 1), 1e-3)
        count = max(1, min(2000, int(2.0 / once)))
        times, end = [], time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(times) < 5:
            times.append(self._between(run, count) / count)
        return statistics.median(times), min(times)

    def _between(self, run: Run, count: int) -> float:
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(count):
            run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop)

    def copy_ms(self, bytes_moved: float) -> float:
        """Milliseconds of a copy that reads and writes so many bytes, timed as the operators are."""
        numbers = max(1, int(bytes_moved / 2 / 4))
        sources = [torch.ones(numbers, device=self.device) for _ in range(SETS)]
        targets = [torch.empty_like(source) for source in sources]
        pairs = zip(sources, targets, strict=True)
        taken = self.take([lambda s=s, t=t: t.copy_(s) for s, t in pairs])  # type: ignore[misc]
        return taken.milliseconds.get("graph", taken.milliseconds["calls"])[0]


def limits(watch: Stopwatch, megabytes: int, size: int) -> dict[str, float]:
    """What nothing on this device can beat: bytes a second of a large copy, operations a second of a GEMM."""
    a, b = (torch.randn(size, size, device=watch.device) for _ in range(2))
    product = torch.empty_like(a)
    gemm = watch.take([lambda: torch.mm(a, b, out=product)], uncaptured="one call is enough")
    moved = 2.0 * megabytes * 2**20
    return {
        "copy_bytes_per_second": moved / watch.copy_ms(moved) * MILLISECONDS,
        "float32_operations_per_second": 2.0 * size**3 / gemm.milliseconds["calls"][1] * MILLISECONDS,
    }
