"""Smooth normals of a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def vertex_normals(vertices: ArrayLike, triangles: ArrayLike) -> Floats:
    """Smooth unit normals (N, 3) of vertices (N, 3): area-weighted means over their triangles (T, 3).

    Counter-clockwise triangles give outward normals in a right-handed frame (y up). A vertex without
    triangles gets (0, 0, 0).
    """
    points, faces = np.asarray(vertices, np.float32), np.asarray(triangles)
    return _unit(_summed(_areas(points, faces), faces, len(points)))


def normal_changes(vertices: ArrayLike, triangles: ArrayLike, moves: NDArray[np.floating]) -> Floats:
    """By how much each of `moves` (M, N, 3), added to the vertices (N, 3), changes the normals: (M, N, 3).

    Only the triangles that a move touches are computed, which makes local moves cheap.
    """
    points, faces = np.asarray(vertices, np.float32), np.asarray(triangles)
    areas = _areas(points, faces)
    sums = _summed(areas, faces, len(points))
    normals = _unit(sums)
    a, b, c = (np.ascontiguousarray(faces[:, corner]) for corner in range(3))
    changes = np.zeros(moves.shape, np.float32)
    for change, move in zip(changes, moves, strict=True):
        moved_here = (move[:, 0] != 0) | (move[:, 1] != 0) | (move[:, 2] != 0)
        touched = np.flatnonzero(moved_here[a] | moved_here[b] | moved_here[c])
        around = np.zeros(len(points), np.bool_)
        around[faces[touched]] = True
        near = np.flatnonzero(around)
        few = (np.cumsum(around) - 1)[faces[touched]]  # the same triangles among the near vertices
        after = _areas((points[near] + move[near]).astype(np.float32), few)
        moved = sums[near] + _summed(after - areas[touched], few, len(near))
        change[near] = _unit(moved) - normals[near]
    return changes


def _areas(points: Floats, faces: NDArray) -> Floats:
    """(T, 3): each triangle's normal, twice as long as its area."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def _summed(areas: Floats, faces: NDArray, count: int) -> Floats:
    """(N, 3): the sum over the triangles around each vertex."""
    sums = np.empty((count, 3), np.float32)
    for axis in range(3):
        sums[:, axis] = np.bincount(faces.ravel(), np.repeat(areas[:, axis], 3), minlength=count)
    return sums


def _unit(sums: Floats) -> Floats:
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
