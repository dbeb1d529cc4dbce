"""Distances to the surface of a mesh, not only to its vertices, and laying a mesh on points by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import twodasl_ext

from ..arguments import flag
from ..errors import InputError
from .rigid import Motion, Points

_REJECTIONS = 12  # steps in a row that do not improve, each ten times shorter than the one before
_TOUCHING = 1e-9  # of the points' extent: a point this near has no direction from the surface


class Surface:
    """A mesh of vertices (N, 3) and triangles (T, 3) that says which of its points is nearest."""

    def __init__(self, vertices: Points, triangles: NDArray[np.int64] | None, name: str = "mesh") -> None:
        if triangles is None or not len(triangles):
            raise InputError(f"{name}: expected a mesh with triangles, got points only")
        self.vertices, self.triangles = vertices, triangles
        self._vertices = torch.from_numpy(np.ascontiguousarray(vertices, np.float64))
        self._triangles = torch.from_numpy(np.ascontiguousarray(triangles, np.int64))

    def nearest(self, points: Points) -> tuple[Points, NDArray[np.int64]]:
        """The nearest point of the surface (M, 3) to each of `points` (M, 3), and its triangle (M,)."""
        query = torch.from_numpy(np.ascontiguousarray(points, np.float64))
        _, triangle, weights = twodasl_ext.closest_point_on_mesh(query, self._vertices, self._triangles)
        corners = self._vertices[self._triangles[triangle]]
        return (corners * weights[..., None]).sum(dim=1).numpy(), triangle.numpy()

    def distances(self, points: Points) -> Points:
        """How far (M,) points (M, 3) are from the surface."""
        return np.linalg.norm(points - self.nearest(points)[0], axis=1)

    def normals(self, triangle: NDArray[np.int64]) -> Points:
        """Unit normals (M, 3) of triangles (M,); 0 for one without area."""
        corners = self.vertices[self.triangles[triangle]]
        found = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        size = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, size, out=np.zeros_like(found), where=size > 0)


@dataclass(frozen=True, eq=False)
class SurfaceFit:
    """motion: what lays the mesh on the points. distances: (M,) of the points from it, in the points' units.
    iterations, converged: of the alignment."""

    motion: Motion
    distances: Points
    iterations: int
    converged: bool


def lay_on_points(
    surface: Surface,
    points: Points,
    start: Motion,
    *,
    scale: bool,
    max_iterations: int = 100,
    tolerance: float = 1e-6,
) -> SurfaceFit:
    """Move a mesh from `start` so that the sum of the points' squared distances from its surface is smallest.

    points: (M, 3). scale: whether its size may change. Levenberg-Marquardt over rotation, translation and
    size; the derivative of a distance is exact: it is that of the nearest point along the direction to it.
    It ends when the sum falls by no more than the part `tolerance` of itself, in an optimum near the start.
    """
    sized = flag(scale, "scale")
    middle = points.mean(axis=0)
    extent = max(float(np.linalg.norm(points - middle, axis=1).max()), np.finfo(float).tiny)
    motion, damping, iterations, rejected = start, 1e-3, 0, 0
    offsets, normals, placed = _offsets(surface, points, motion, extent)
    cost = float((offsets**2).sum())
    converged = False
    while not converged and iterations < max_iterations:
        iterations += 1
        arms = (placed - middle) / extent
        columns = [np.cross(arms, normals), normals]
        if sized:
            columns.append((arms * normals).sum(axis=1, keepdims=True))
        jacobian = -np.concatenate(columns, axis=1)
        normal = jacobian.T @ jacobian
        gradient = jacobian.T @ offsets
        ridge = damping * np.maximum(np.diag(normal), 1e-12 * max(np.trace(normal), 1.0))
        step = -np.linalg.solve(normal + np.diag(ridge), gradient)
        trial = _moved(motion, step, middle, extent)
        candidate = _offsets(surface, points, trial, extent)
        new = float((candidate[0] ** 2).sum())
        if new < cost:
            converged = cost - new <= tolerance * cost
            motion, cost, damping, rejected = trial, new, max(damping / 10, 1e-12), 0
            offsets, normals, placed = candidate
        else:
            damping, rejected = damping * 10, rejected + 1
            converged = rejected >= _REJECTIONS or cost <= (_TOUCHING * extent) ** 2 * len(points)
    return SurfaceFit(motion, offsets, iterations, converged)


def _offsets(
    surface: Surface, points: Points, motion: Motion, extent: float
) -> tuple[Points, Points, Points]:
    """Of the moved surface: distances of points (M,), unit directions to them (M, 3), nearest points."""
    nearest, triangle = surface.nearest(motion.inverse().apply(points))
    placed = motion.apply(nearest)
    apart = points - placed
    distance = np.linalg.norm(apart, axis=1)
    touching = distance <= _TOUCHING * extent
    direction = apart / np.where(touching, 1, distance)[:, None]
    direction[touching] = surface.normals(triangle[touching]) @ motion.rotation.T
    return distance, direction, placed


def _moved(motion: Motion, step: Points, middle: Points, extent: float) -> Motion:
    """The motion, then a turn and a growth about the middle, and a shift."""
    turn = Rotation.from_rotvec(step[:3] / extent).as_matrix()
    growth = float(np.exp(step[6] / extent)) if len(step) > 6 else 1.0
    translation = growth * turn @ (motion.translation - middle) + middle + step[3:6]
    return Motion(turn @ motion.rotation, translation, growth * motion.scale)
