"""A scan as the fit sees it: points about their middle, normals, and which of them lie on an open border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import shown
from ..errors import InputError

FEWEST = 50
"""A scan of fewer points does not say which way a head looks."""

_LEAST, _MOST = 1e-100, 1e100  # squares of lengths are numbers in between
_MOSTLY_BORDER = 0.5


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan's points in a unit of its own, in which float32 has digits to spare wherever the scan lies.

    points: (P, 3) float32, `(given - center) / size`. normals: (P, 3) unit vectors, zero where a point has
    none, or None for a scan of points alone. inner: (P,) bool, False on an open border, where a closest point
    is the border's and not the surface's. center: (3,) float64, the medians. size: the median distance from
    it, in the scan's unit.
    """

    points: Tensor
    normals: Tensor | None
    inner: Tensor
    center: NDArray[np.float64]
    size: float

    def connected(self) -> Scan:
        """The scan without points that have no normal, such as a mesh file's unused vertices."""
        if self.normals is None:
            return self
        return self._some((self.normals != 0).any(dim=1).nonzero()[:, 0])

    def part(self, count: int, seed: int = 0) -> Scan:
        """`count` of the points, drawn at random but always the same ones; all where there are no more."""
        total = len(self.points)
        if count >= total:
            return self
        draw = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        return self._some(draw.to(self.points.device))

    def _some(self, rows: Tensor) -> Scan:
        normals = None if self.normals is None else self.normals[rows]
        return Scan(self.points[rows], normals, self.inner[rows], self.center, self.size)


def prepare_scan(vertices: Any, triangles: Any, device: torch.device) -> Scan:
    """The scan of vertices (P, 3) and triangles (T, 3), or None. Raises InputError for what is none."""
    points = _points(vertices)
    center = np.median(points, axis=0)
    extent = float(np.abs(points / 2 - center / 2).max()) * 2
    if extent and not _LEAST < extent < _MOST:
        raise InputError(
            f"vertices: expected a scan between {_LEAST:g} and {_MOST:g} of its units wide, got {extent:.3g}"
        )
    size = float(np.median(np.linalg.norm(points - center, axis=1)))
    if size <= 0 or size < 1e-6 * extent:
        raise InputError("vertices: expected points spread over a surface, got most of them at one place")
    here = ((points - center) / size).astype(np.float32)
    spread = np.linalg.svd(here[:: max(1, len(here) // 5000)] - here.mean(0), compute_uv=False)
    if spread[1] < 1e-3 * spread[0]:
        raise InputError("vertices: expected points spread over a surface, got points on a line")
    if triangles is None or len(faces := _triangles(triangles, len(points))) == 0:
        return Scan(_on(here, device), None, _on(np.ones(len(here), bool), device), center, size)
    normals = _normals(here, faces)
    inner = ~border_of(faces, len(here))
    return Scan(_on(here, device), _on(normals, device), _on(inner, device), center, size)


def border_of(triangles: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """(count,) whether a vertex is on an edge of one triangle alone.

    Where most vertices are, as in files whose triangles share none, the edges say nothing: all False.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    keys = np.sort(edges.min(axis=1) * count + edges.max(axis=1))
    alone = np.ones(len(keys), bool)
    same = keys[1:] == keys[:-1]
    alone[1:] &= ~same
    alone[:-1] &= ~same
    border = np.zeros(count, bool)
    border[keys[alone] // count] = True
    border[keys[alone] % count] = True
    used = len(np.unique(triangles))
    return border if border.sum() <= _MOSTLY_BORDER * used else np.zeros(count, bool)


def _points(vertices: Any) -> NDArray[np.float64]:
    expected = f"vertices: expected (P, 3) finite numbers, at least {FEWEST} points"
    if isinstance(vertices, Tensor):
        vertices = vertices.detach().cpu()
    try:
        points = np.asarray(vertices)
        if points.dtype.kind not in "fiu":
            raise ValueError
        points = np.ascontiguousarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}, got {shown(vertices)}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{expected}, got shape {points.shape}")
    if len(points) < FEWEST:
        raise InputError(f"{expected}, got {len(points)}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InputError(f"{expected}, got NaN or infinity in point {row} (counted from 0)")
    return points


def _triangles(triangles: Any, count: int) -> NDArray[np.int64]:
    if isinstance(triangles, Tensor):
        triangles = triangles.cpu()
    expected = f"triangles: expected (T, 3) indices of the {count} vertices, or None"
    try:
        faces = np.asarray(triangles)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}, got {shown(triangles)}") from error
    if faces.size == 0:
        return np.zeros((0, 3), np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise InputError(f"{expected}, got {faces.dtype} of shape {faces.shape}")
    if faces.min() < 0 or faces.max() >= count:
        wrong = int(faces.min() if faces.min() < 0 else faces.max())
        raise InputError(f"{expected}, got {wrong}")
    return np.ascontiguousarray(faces, np.int64)


def _normals(points: NDArray[np.float32], triangles: NDArray[np.int64]) -> NDArray[np.float32]:
    """Area-weighted unit normals (P, 3); zero where there is no area."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    area = np.cross(b - a, c - a)
    corners = triangles.ravel()
    normals = np.stack(
        [np.bincount(corners, np.repeat(area[:, axis], 3), len(points)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0).astype(np.float32)


def _on(array: NDArray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
