"""Nearest neighbours of two faces: the workloads, and every library that finds them where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from twodasl.morphable import procedural_model

import twodasl_ext as te

Found = tuple[Tensor, Tensor]
Search = Callable[[], Found]

COUNTS = (1_000, 10_000, 53_215, 200_000, 1_000_000)
_LARGEST_ALL_PAIRS = 53_215
"""Brute force over more points than this takes minutes."""


@dataclass(frozen=True)
class NeighborWorkload:
    """Queries on one face, points on another, as many of each."""

    count: int = 53_215
    aligned: bool = False

    @property
    def name(self) -> str:
        """As a group of the benchmark reads."""
        return f"nearest_neighbors N={self.count} {'aligned' if self.aligned else 'not aligned'}"


def workloads() -> list[NeighborWorkload]:
    """From a sparse face to a dense scan."""
    return [NeighborWorkload(count, aligned) for count in COUNTS for aligned in (False, True)]


@lru_cache(maxsize=2)
def make_faces(workload: NeighborWorkload) -> tuple[Tensor, Tensor]:
    """(N, 3) twice, in millimetres, sampled on the surfaces of two different heads; float32."""
    model = procedural_model()
    generator = torch.Generator().manual_seed(0)
    mean, triangles = torch.as_tensor(model.mean).double(), torch.as_tensor(model.triangles).long()
    modes = torch.as_tensor(model.shape_modes).double()
    faces = []
    for _ in range(2):
        coefficients = torch.randn(len(modes), generator=generator, dtype=torch.float64)
        corners = (mean + torch.tensordot(coefficients, modes, 1))[triangles]
        area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
        chosen = torch.multinomial(area, workload.count, replacement=True, generator=generator).sort().values
        weights = torch.rand(workload.count, 3, generator=generator, dtype=torch.float64)
        weights = (-weights.log()) / (-weights.log()).sum(dim=1, keepdim=True)
        faces.append((weights[..., None] * corners[chosen]).sum(dim=1))
    query, points = faces
    if not workload.aligned:  # turned by 17 degrees and 15 mm away
        angle = torch.tensor(0.3, dtype=torch.float64)
        turn = torch.eye(3, dtype=torch.float64)
        turn[0, 0] = turn[2, 2] = angle.cos()
        turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
        query = query @ turn.T + torch.tensor([8.0, -5.0, 12.0], dtype=torch.float64)
    return query.float().contiguous(), points.float().contiguous()


def _ours(query: Tensor, points: Tensor) -> Search:
    return lambda: te.nearest_neighbors(query, points)


def _ours_indexed(query: Tensor, points: Tensor) -> Search:
    index = te.PointIndex(points)
    return lambda: te.nearest_neighbors(query, index)


def _ours_hinted(query: Tensor, points: Tensor) -> Search:
    index = te.PointIndex(points)
    hint = te.nearest_neighbors(query, index)[1]
    return lambda: te.nearest_neighbors(query, index, hint=hint)


def _eager(query: Tensor, points: Tensor) -> Search:
    def run() -> Found:
        parts = [torch.cdist(q, points).min(dim=1) for q in query.split(2048)]
        return torch.cat([p.values for p in parts]).square(), torch.cat([p.indices for p in parts])

    return run


def _scipy(query: Tensor, points: Tensor) -> Search:
    from scipy.spatial import cKDTree

    def run() -> Found:
        tree = cKDTree(points.numpy())
        distances, indices = tree.query(query.numpy(), workers=torch.get_num_threads())
        return torch.from_numpy(distances).square(), torch.from_numpy(indices)

    return run


def _open3d(query: Tensor, points: Tensor) -> Search:
    import open3d.core as o3c

    def run() -> Found:
        search = o3c.nns.NearestNeighborSearch(o3c.Tensor(points.numpy()))
        search.knn_index()
        indices, squared = search.knn_search(o3c.Tensor(query.numpy()), 1)
        return torch.from_numpy(squared.numpy())[:, 0], torch.from_numpy(indices.numpy())[:, 0].long()

    return run


def _faiss(query: Tensor, points: Tensor) -> Search:
    import faiss

    def run() -> Found:
        index = faiss.IndexFlatL2(3)
        index.add(points.numpy())
        squared, indices = index.search(query.numpy(), 1)
        return torch.from_numpy(squared)[:, 0], torch.from_numpy(indices)[:, 0]

    return run


def _pytorch3d(query: Tensor, points: Tensor) -> Search:
    from pytorch3d.ops import knn_points

    def run() -> Found:
        found = knn_points(query[None], points[None])
        return found.dists[0, :, 0], found.idx[0, :, 0]

    return run


_MAKERS: dict[str, tuple[str | None, Callable[[Tensor, Tensor], Search]]] = {
    "fused": (None, _ours),
    "fused, PointIndex": (None, _ours_indexed),
    "fused, PointIndex, hint": (None, _ours_hinted),
    "eager: cdist": (None, _eager),
    "scipy: cKDTree": ("scipy", _scipy),
    "open3d: knn": ("open3d", _open3d),
    "faiss: flat": ("faiss", _faiss),
    "pytorch3d: knn_points": ("pytorch3d", _pytorch3d),
}
NAMES = tuple(_MAKERS)
_ALL_PAIRS = ("eager: cdist", "faiss: flat", "pytorch3d: knn_points")


def implementation(workload: NeighborWorkload, name: str) -> Search | None:
    """One way of finding the neighbours, checked; None where it is not installed or would take minutes."""
    package, make = _MAKERS[name]
    if package is not None and importlib.util.find_spec(package) is None:
        return None
    if name in _ALL_PAIRS and workload.count > _LARGEST_ALL_PAIRS:
        return None
    query, points = make_faces(workload)
    run = make(query, points)
    check(run(), query, points)
    return run


def check(found: Found, query: Tensor, points: Tensor) -> None:
    """AssertionError unless the points found are as near as the nearest, up to the peer's own rounding.

    `tests/ext` compares the fused search with brute force bit by bit; the peers expand the square or work in
    double precision, and may take another of two points that are nearly as near.
    """
    best = te.nearest_neighbors(query.double(), points.double())[0].sqrt()
    chosen = (query.double() - points.double()[found[1]]).norm(dim=1)
    # 1e-2 mm: an expanded square loses half of the digits of coordinates around 100 mm.
    assert (chosen - best).max() <= 1e-2
