"""nearest_neighbors: fused, eager PyTorch and the libraries that are installed, grouped by workload."""

from __future__ import annotations

import pytest

from .neighbor_peers import NAMES, implementation, workloads

WORKLOADS = workloads()


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
@pytest.mark.parametrize("name", NAMES)
def bench_nearest_neighbors(benchmark, workload, name):
    run = implementation(workload, name)
    if run is None:
        pytest.skip("not installed, or all pairs of so many points")
    benchmark.group = workload.name
    benchmark.name = name
    benchmark(run)
