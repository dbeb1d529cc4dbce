"""closest_point_on_mesh and k_nearest_neighbors: fused and the libraries that are installed, by workload."""

from __future__ import annotations

import pytest

from .surface_peers import WORKLOADS, check, runs

NAMES = ("fused", "fused, PointIndex", "open3d: RaycastingScene", "trimesh: closest_point", "scipy: cKDTree")


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
@pytest.mark.parametrize("name", NAMES)
def bench_surface_search(benchmark, workload, name):
    found = runs(workload)
    if name not in found:
        pytest.skip("not installed, or not of this workload")
    check(workload, name, found[name](), found["fused"]())
    benchmark.group = workload.name
    benchmark.name = name
    benchmark(found[name])
