"""Timing that can be trusted: interleaved repeats, medians, and the machine's own limits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

MILLISECONDS = 1e3


def interleaved(runs: dict[str, Callable[[], Any]], seconds: float, least: int = 7) -> dict[str, list[float]]:
    """Milliseconds of every repeat of every run, in turn, so that a disturbance meets them all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * MILLISECONDS)
    return times


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def peak_operations(seconds: float = 0.5) -> float:
    """Floating-point operations a second of a large float32 GEMM, the best repeat."""
    size = 1536
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    times = interleaved({"gemm": lambda: torch.mm(a, b, out=out)}, seconds)["gemm"]
    return 2.0 * size**3 / (min(times) / MILLISECONDS)


def peak_bandwidth(seconds: float = 0.5) -> float:
    """Bytes a second read from 256 MB (a sum: nothing is written), the best repeat."""
    data = torch.ones(64 * 1024 * 1024)
    times = interleaved({"read": lambda: data.sum()}, seconds)["read"]
    return 4.0 * data.numel() / (min(times) / MILLISECONDS)
