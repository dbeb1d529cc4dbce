"""The machine's own limits, measured again and again during a run because its speed drifts; and the floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..measure import MILLISECONDS, interleaved
from .workloads import Workload

_MEGABYTE = 2**20
# A GEMM and a convolution come from different libraries here, and the better of them is nearer to the peak.
_GEMM_SIZE = 1024
_CONVOLUTION = (8, 256, 32)


class Limits:
    """The best rates seen so far; `sample()` looks once more."""

    def __init__(self) -> None:
        a, b = torch.randn(_GEMM_SIZE, _GEMM_SIZE), torch.randn(_GEMM_SIZE, _GEMM_SIZE)
        product = torch.empty(_GEMM_SIZE, _GEMM_SIZE)
        batch, channels, side = _CONVOLUTION
        images = torch.randn(batch, channels, side, side)
        weight = torch.randn(channels, channels, 3, 3)
        self._work: dict[str, Callable[[], Any]] = {
            "gemm": lambda: torch.mm(a, b, out=product),
            "convolution": lambda: torch.conv2d(images, weight, padding=1),
        }
        # Every product counts, those with the border's zeros too: that is what the kernel multiplies.
        self._operations = {
            "gemm": 2.0 * _GEMM_SIZE**3,
            "convolution": 18.0 * batch * (channels * side) ** 2,
        }
        self._data = torch.ones(256 * _MEGABYTE // 4)
        self.operations = dict.fromkeys(self._work, 0.0)
        """Best operations a second by kernel."""
        self.reads = dict.fromkeys((1, 2, 4, 8, 16, 32, 64, 128, 256), 0.0)
        """Best bytes a second read again and again from so many megabytes."""
        self.gemm_samples: list[float] = []
        """Operations a second of the GEMM at every look: how the machine's speed drifts."""

    def sample(self, seconds: float = 0.06) -> float:
        """Measures all of them; operations a second of the GEMM just now."""
        now = {}
        with torch.no_grad():
            timings = interleaved(self._work, seconds, least=2)
        for name, timing in timings.items():
            now[name] = self._operations[name] / (timing.minimum / MILLISECONDS)
            self.operations[name] = max(self.operations[name], now[name])
        parts = {size: self._data[: size * _MEGABYTE // 4] for size in self.reads}
        runs = {str(size): part.sum for size, part in parts.items()}
        for name, timing in interleaved(runs, 0.0, least=2, block_ms=1.0).items():
            rate = int(name) * _MEGABYTE / (timing.minimum / MILLISECONDS)
            self.reads[int(name)] = max(self.reads[int(name)], rate)
        self.gemm_samples.append(now["gemm"])
        return now["gemm"]

    @property
    def peak(self) -> float:
        """Operations a second of the fastest kernel."""
        return max(self.operations.values())

    def bandwidth(self, data: float) -> float:
        """Bytes a second for that many bytes: the best of the measured sizes that are not much smaller."""
        smaller = [size for size in self.reads if size * _MEGABYTE <= data]
        return max(rate for size, rate in self.reads.items() if size >= max(smaller, default=0))

    def floor(self, workload: Workload) -> tuple[float, str]:
        """Milliseconds that the workload needs at these limits, and which of them it is."""
        by_operations = workload.floor_operations / self.peak
        by_bytes = workload.floor_bytes / self.bandwidth(workload.floor_bytes)
        kind = "operations" if by_operations > by_bytes else "bytes"
        return max(by_operations, by_bytes) * MILLISECONDS, kind

    def record(self) -> dict[str, Any]:
        """As a report has it."""
        return {
            "peak_gflops": {name: round(rate / 1e9, 1) for name, rate in self.operations.items()},
            "gemm_gflops_drift": [round(f(self.gemm_samples) / 1e9, 1) for f in (min, max)],
            "read_gbs": {f"{size} MB": round(rate / 1e9, 1) for size, rate in self.reads.items()},
        }
