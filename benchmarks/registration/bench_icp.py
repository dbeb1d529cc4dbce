"""iterative_closest_point: 30 iterations on two faces of real size, beside Open3D where it is installed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch

import twodasl_ext as te

from .neighbor_peers import missing
from .surfaces import PAPER, pair

ITERATIONS = 30


def fused(source, target, **options):
    return te.iterative_closest_point(source, target, max_iterations=ITERATIONS, tolerance=None, **options)


def open3d_point_to_point(source, target):
    """The same start and number of iterations in Open3D: its pose, (4, 4)."""
    import numpy as np
    import open3d

    registration = open3d.pipelines.registration
    clouds = [
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(c.double().numpy()))
        for c in (source, target)
    ]
    start = np.eye(4)
    start[:3, 3] = (target.double().mean(dim=0) - source.double().mean(dim=0)).numpy()
    return registration.registration_icp(
        *clouds,
        1e9,
        start,
        registration.TransformationEstimationPointToPoint(),
        registration.ICPConvergenceCriteria(0.0, 0.0, ITERATIONS),
    ).transformation


def check(source, target):
    """Both find the same motion."""
    compare(fused(source, target), open3d_point_to_point(source, target))


def compare(ours, open3d_pose):
    """AssertionError unless the results are the same motion: both take the same steps."""
    pose = ours.pose.double()
    theirs = torch.from_numpy(open3d_pose.copy())[:3]
    assert (pose - theirs)[:, :3].abs().max() < 1e-4
    assert (pose - theirs)[:, 3].abs().max() < 1e-2


@pytest.mark.parametrize("options", [{}, {"trim": 0.2}, {"scale": True}], ids=str)
def bench_point_to_point(benchmark, options):
    source, target = pair(PAPER)
    benchmark.group = f"ICP, {ITERATIONS} iterations, {PAPER} vertices"
    benchmark(lambda: fused(source, target, **options))


def outward(target):
    """Directions that may stand for the normals: the time is the same."""
    return target - target.mean(dim=0)


def bench_point_to_plane(benchmark):
    source, target = pair(PAPER)
    normals = outward(target)
    benchmark.group = f"ICP, {ITERATIONS} iterations, {PAPER} vertices"
    benchmark(lambda: fused(source, target, method="plane", normals=normals))


def bench_open3d_point_to_point(benchmark):
    if missing("open3d: knn"):
        pytest.skip(f"Open3D: {missing('open3d: knn')}")
    source, target = pair(PAPER)
    check(source, target)
    benchmark.group = f"ICP, {ITERATIONS} iterations, {PAPER} vertices"
    benchmark.pedantic(lambda: open3d_point_to_point(source, target), rounds=3)


def in_turn(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, `rounds` times one after the other."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Medians and minima of interleaved runs: of a registration, and of an iteration over the points."""
    source, target = pair(PAPER)
    runs: dict[str, Callable[[], object]] = {"twodasl_ext": lambda: fused(source, target)}
    if not missing("open3d: knn"):
        check(source, target)
        runs["Open3D"] = lambda: open3d_point_to_point(source, target)
    for name, taken in in_turn(runs, 5).items():
        print(f"{name}: median {statistics.median(taken):.0f} ms, minimum {min(taken):.0f} ms")
    for vertices in (5_000, 50_000):
        few, many = pair(vertices)
        planes = partial(fused, few, many, method="plane", normals=outward(many))
        ways = {"point": partial(fused, few, many), "plane": planes}
        for name, taken in in_turn(ways, 9).items():
            median, least = (ms / (ITERATIONS + 1) for ms in (statistics.median(taken), min(taken)))
            print(f"{vertices} points, {name}: median {median:.2f} ms an iteration, minimum {least:.2f} ms")


if __name__ == "__main__":
    main()
