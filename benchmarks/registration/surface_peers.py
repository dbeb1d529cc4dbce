"""Closest points of a mesh and k nearest neighbors: workloads, and every library that finds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

import twodasl_ext as te

from .neighbor_peers import missing
from .surfaces import PAPER, aligned_pair, face, in_rows

Run = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class MeshWorkload:
    """Points at a distance from a face's mesh, in any order."""

    away: float
    """Millimeters, the standard deviation in each direction."""
    triangles: int = 100_000
    points: int = 53_215

    @property
    def name(self) -> str:
        """As a group of the benchmark reads."""
        return f"closest_point_on_mesh F={self.triangles} M={self.points} {self.away:g} mm away"


@dataclass(frozen=True)
class ManyWorkload:
    """The k nearest points of another face, of its size."""

    k: int
    count: int = PAPER

    @property
    def name(self) -> str:
        """As a group of the benchmark reads."""
        return f"k_nearest_neighbors k={self.k} N={self.count} aligned"


WORKLOADS = (
    MeshWorkload(0.1),
    MeshWorkload(2.0),
    MeshWorkload(20.0),
    ManyWorkload(1),
    ManyWorkload(8),
    ManyWorkload(16),
    ManyWorkload(64),
)

TRIMESH_PAIRS = 4_000_000
"""Points and triangles that trimesh compares at once: each pair takes some 400 bytes."""


@lru_cache(maxsize=1)
def face_mesh(triangles: int) -> tuple[Tensor, Tensor]:
    """Vertices (N, 3) float32 in millimeters and at least as many triangles (F, 3) of a face."""
    from scipy.spatial import Delaunay

    vertices = in_rows(face(math.ceil(triangles / 2 * 1.005), 2))
    found = Delaunay(vertices[:, :2].double().numpy()).simplices  # a face is a height over its plane
    return vertices, torch.from_numpy(found.astype(np.int64))


@lru_cache(maxsize=2)
def inputs(workload: MeshWorkload | ManyWorkload) -> tuple[Any, ...]:
    """Points, vertices and triangles; or query and points."""
    if isinstance(workload, ManyWorkload):
        return aligned_pair(workload.count)
    vertices, triangles = face_mesh(workload.triangles)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(0, len(triangles), (workload.points,), generator=generator)
    points = vertices[triangles[chosen]].mean(dim=1)
    return points + workload.away * torch.randn(points.shape, generator=generator), vertices, triangles


def _trimesh(points: Tensor, vertices: Tensor, triangles: Tensor) -> Run:
    import trimesh

    def build() -> Any:
        return trimesh.Trimesh(vertices.numpy(), triangles.numpy(), process=False)

    # It makes arrays of all pairs of a point and a triangle that may be nearer than the nearest vertex.
    some = points[::100].numpy()
    pairs = sum(map(len, trimesh.proximity.nearby_faces(build(), some))) / len(some) * len(points)
    parts = points.tensor_split(math.ceil(pairs / TRIMESH_PAIRS))

    def run() -> tuple[Tensor, ...]:
        mesh = build()
        found = [trimesh.proximity.closest_point(mesh, part.numpy()) for part in parts]
        _, distances, chosen = (torch.from_numpy(np.concatenate(each)) for each in zip(*found, strict=True))
        return distances.square(), chosen

    return run


def _open3d(points: Tensor, vertices: Tensor, triangles: Tensor) -> Run:
    import open3d as o3d

    def run() -> tuple[Tensor, ...]:
        threads = torch.get_num_threads()
        scene = o3d.t.geometry.RaycastingScene(nthreads=threads)
        scene.add_triangles(
            o3d.core.Tensor(vertices.numpy()), o3d.core.Tensor(triangles.numpy().astype(np.uint32))
        )
        found = scene.compute_closest_points(o3d.core.Tensor(points.numpy()), nthreads=threads)
        closest = torch.from_numpy(found["points"].numpy()).double()
        return (points.double() - closest).square().sum(dim=1), torch.from_numpy(
            found["primitive_ids"].numpy().astype(np.int64)
        )

    return run


def _scipy(query: Tensor, points: Tensor, k: int) -> Run:
    from scipy.spatial import cKDTree

    def run() -> tuple[Tensor, ...]:
        tree = cKDTree(points.numpy())
        distances, found = tree.query(query.numpy(), k=k, workers=torch.get_num_threads())
        return torch.from_numpy(distances).square().reshape(-1, k), torch.from_numpy(found).reshape(-1, k)

    return run


def runs(workload: MeshWorkload | ManyWorkload) -> dict[str, Run]:
    """Ours and the installed libraries', which build their structures in the call, on torch's threads."""
    if isinstance(workload, ManyWorkload):
        query, points = inputs(workload)
        k = workload.k
        found: dict[str, Run] = {"fused": lambda: te.k_nearest_neighbors(query, points, k)}
        index = te.PointIndex(points)
        found["fused, PointIndex"] = lambda: te.k_nearest_neighbors(query, index, k)
        found["scipy: cKDTree"] = _scipy(query, points, k)
        return found
    given = inputs(workload)
    found = {"fused": lambda: te.closest_point_on_mesh(*given)}
    if missing("open3d: knn") is None:
        found["open3d: RaycastingScene"] = _open3d(*given)
    if _installed("trimesh") and _installed("rtree"):
        found["trimesh: closest_point"] = _trimesh(*given)
    return found


@cache
def _installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def check(workload: MeshWorkload | ManyWorkload, name: str, found: tuple[Tensor, ...], ours: Any) -> None:
    """AssertionError unless both are as near; Open3D's points are float32 of coordinates near 100 mm."""
    mine, theirs = ours[0].double().sqrt(), found[0].double().sqrt()
    tolerance = 1e-4 if "open3d" in name else 1e-5
    assert (mine - theirs).abs().max() <= tolerance, (workload.name, name, (mine - theirs).abs().max())
