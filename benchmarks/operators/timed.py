"""What pytest-benchmark does with a workload."""

from __future__ import annotations

import pytest

from .implementations import Implementation, check, implementations, supported
from .rows import screen
from .workloads import Workload


def run(benchmark, workload: Workload, kind: str) -> None:
    """Time the fastest formulation of one kind, once the results of all were checked."""
    if not supported(workload):
        pytest.skip("this build of the operators has no out=")
    found = implementations(workload, (kind,))
    if not found:
        pytest.skip("torch.compile breaks the graph where sizes depend on values")
    check(workload, found)
    best = _fastest(found)
    benchmark.group = workload.name
    benchmark.name = best.name
    benchmark(best.run)


def _fastest(found: list[Implementation]) -> Implementation:
    if len(found) == 1:
        return found[0]
    screened = screen(found)
    return min(found, key=lambda i: screened[i.name])
