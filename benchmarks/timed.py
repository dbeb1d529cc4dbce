"""What every bench_<operator>.py does with a workload; apart from the report, which needs no pytest."""

from __future__ import annotations

import pytest

from .implementations import COMPILED, check, implementations


def run(benchmark, workload, implementation: str) -> None:
    """Time one implementation of a workload with pytest-benchmark, once its result was checked."""
    runs = implementations(workload, compiled=implementation == COMPILED)
    if implementation not in runs:
        pytest.skip("torch.compile breaks the graph where sizes depend on values")
    only = {implementation: runs[implementation]}
    check(workload, only)
    benchmark.group = workload.name
    benchmark.name = implementation
    benchmark(only[implementation])
