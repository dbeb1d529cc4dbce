"""Timing on a GPU: CUDA events around calls, around replays of a captured graph, and around replays that find
the second-level cache full of other data. On a CPU, where only the program itself is tried, a clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Run = Callable[[], Any]
MILLISECONDS = 1e3


def captured(run: Run) -> tuple[Callable[[], None], Any]:
    """The run as a CUDA graph: what replays it, and the tensors that a replay fills."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is built, tuned or allocated at first calls is so before
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
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

    def best(self) -> float:
        """The median of the quickest way, for choosing among formulations; infinite where nothing ran."""
        return min((median for way, (median, _) in self.milliseconds.items() if way != "cold"), default=1e30)


class Stopwatch:
    """Times runs on one device; `seconds` is spent on each way of running."""

    def __init__(self, device: torch.device, seconds: float = 0.25) -> None:
        self.device, self.seconds = device, seconds
        self.flush: Tensor | None = None
        if device.type == "cuda":
            cache = torch.cuda.get_device_properties(device).L2_cache_size
            self.flush = torch.empty(4 * max(cache, 2**26), dtype=torch.uint8, device=device)

    def take(self, run: Run, *, graph: bool = True) -> Taken:
        """Times `run` in every way that it allows. `graph=False`: its sizes depend on values."""
        taken = Taken()
        if self.device.type != "cuda":
            taken.milliseconds["calls"] = self._clock(run)
            return taken
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        taken.milliseconds["calls"] = self._blocks(run)
        if not graph:
            taken.notes.append("not captured: sizes depend on values")
            return taken
        try:
            replay, found = captured(run)
        except RuntimeError as error:
            torch.cuda.synchronize()
            taken.notes.append("not captured: " + " ".join(str(error).split())[:200])
            return taken
        taken.milliseconds["graph"] = self._blocks(replay)
        taken.milliseconds["cold"] = self._cold(replay)
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

    def _cold(self, run: Run) -> tuple[float, float]:
        assert self.flush is not None
        times, end = [], time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(times) < 5:
            self.flush.fill_(1)
            times.append(self._between(run, 1))
        return statistics.median(times), min(times)

    def _between(self, run: Run, count: int) -> float:
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(count):
            run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop)


def limits(watch: Stopwatch, megabytes: int, size: int) -> dict[str, float]:
    """What nothing on this device can beat: bytes a second of a copy, operations a second of a GEMM."""
    source = torch.ones(megabytes * 2**18, device=watch.device)
    target = torch.empty_like(source)
    a, b = (torch.randn(size, size, device=watch.device) for _ in range(2))
    product = torch.empty_like(a)

    def best(run: Run) -> float:
        return watch.take(run, graph=False).milliseconds["calls"][1] / MILLISECONDS

    copy, gemm = best(lambda: target.copy_(source)), best(lambda: torch.mm(a, b, out=product))
    return {
        "copy_bytes_per_second": 2.0 * source.nbytes / copy,
        "float32_operations_per_second": 2.0 * size**3 / gemm,
    }
