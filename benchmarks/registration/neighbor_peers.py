"""Nearest neighbors of two clouds: every library that finds them where it is installed, and workloads."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache

import torch
from torch import Tensor
from twodasl.morphable import procedural_model

import twodasl_ext as te

from .surfaces import rotation

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
    """(N, 3) twice, in millimeters, sampled on the surfaces of two different heads; float32."""
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
    # As in a registration: the neighbors that the queries had before they moved a little.
    before = query @ rotation(1.0, (0.4, 1.0, -0.3)).float().T + 0.5
    hint = te.nearest_neighbors(before, index)[1]
    return lambda: te.nearest_neighbors(query, index, hint=hint)


def _eager(query: Tensor, points: Tensor) -> Search:
    def run() -> Found:
        parts = [torch.cdist(q, points).min(dim=1) for q in query.split(2048)]
        return torch.cat([p.values for p in parts]).square(), torch.cat([p.indices for p in parts])

    return run


def _scipy(query: Tensor, points: Tensor, **options: bool) -> Search:
    from scipy.spatial import cKDTree

    def run() -> Found:
        tree = cKDTree(points.numpy(), **options)
        distances, indices = tree.query(query.numpy(), workers=-1)
        return torch.from_numpy(distances).square(), torch.from_numpy(indices)

    return run


def _scipy_plain(query: Tensor, points: Tensor) -> Search:
    return _scipy(query, points, balanced_tree=False, compact_nodes=False)


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


@dataclass(frozen=True)
class Peer:
    """One way of finding the neighbors."""

    make: Callable[[Tensor, Tensor], Search]
    package: str | None = None
    all_pairs: bool = False
    """Time grows with the product of both counts."""
    expanded: bool = False
    """Distances from q q - 2 q p + p p, which loses half of the digits of coordinates around 100 mm."""


PEERS = {
    "fused": Peer(_ours),
    "fused, PointIndex": Peer(_ours_indexed),
    "fused, PointIndex, hint": Peer(_ours_hinted),
    "eager: cdist": Peer(_eager, all_pairs=True, expanded=True),
    "scipy: cKDTree": Peer(_scipy, "scipy"),
    "scipy: cKDTree, not compact": Peer(_scipy_plain, "scipy"),
    "open3d: knn": Peer(_open3d, "open3d"),
    "faiss: flat": Peer(_faiss, "faiss", all_pairs=True, expanded=True),
    "pytorch3d: knn_points": Peer(_pytorch3d, "pytorch3d", all_pairs=True),
}
NAMES = tuple(PEERS)


@cache
def missing(name: str) -> str | None:
    """Why this one cannot be timed here; None where it can."""
    package = PEERS[name].package
    try:
        if package is not None:
            importlib.import_module(package)
    except ModuleNotFoundError as error:
        return "not installed" if error.name == package else str(error)
    except (ImportError, OSError) as error:  # a library of the system that it needs
        return str(error)
    return None


@dataclass(frozen=True)
class Expected:
    """What SciPy finds for the queries, or for that many of them, evenly chosen."""

    query: Tensor
    points: Tensor
    most: int = 53_215
    rows: Tensor = field(init=False)
    squared: Tensor = field(init=False)
    """(rows) float64 squared distances."""

    def __post_init__(self) -> None:
        from scipy.spatial import cKDTree

        rows = torch.arange(0, len(self.query), math.ceil(len(self.query) / self.most))
        tree = cKDTree(self.points.double().numpy(), balanced_tree=False, compact_nodes=False)
        nearest = torch.from_numpy(tree.query(self.query[rows].double().numpy(), workers=-1)[1])
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "squared", self._squared_to(nearest))

    def _squared_to(self, indices: Tensor) -> Tensor:
        away = self.query[self.rows].double() - self.points[indices].double()
        return away.square().sum(dim=1)

    def check(self, found: Found, name: str) -> None:
        """AssertionError unless the points are as near as the nearest, and the distances theirs.

        `tests/ext` compares the fused search with brute force bit by bit; peers may take another of two
        points that are nearly as near, up to their own rounding.
        """
        distances, chosen = found[0][self.rows].double(), self._squared_to(found[1][self.rows])
        if PEERS[name].expanded:  # mm; mm^2
            assert (chosen.sqrt() - self.squared.sqrt()).max() <= 1e-2, name
            assert (distances - chosen).abs().max() <= 0.1, name
        else:  # five roundings to float32 each, of two distances that are compared
            assert (chosen <= self.squared * (1 + 1e-6)).all(), name
            assert ((distances - chosen).abs() <= 1e-6 * chosen).all(), name


def implementation(workload: NeighborWorkload, name: str) -> Search | None:
    """One way of finding the neighbors, checked; None where it is not installed or would take minutes."""
    if missing(name) or (PEERS[name].all_pairs and workload.count > _LARGEST_ALL_PAIRS):
        return None
    query, points = make_faces(workload)
    run = PEERS[name].make(query, points)
    Expected(query, points).check(run(), name)
    return run
