"""A mesh as returned by the readers, checked in one place for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MAX_VERTICES = 20_000_000
"""A file with more vertices or triangles is damaged."""

# Even a head in nanometers is closer. One damaged file with larger coordinates would dominate the mean of a
# whole set.
_FARTHEST = 1e9


@dataclass(frozen=True, eq=False)
class Mesh:
    """The content of a mesh file.

    vertices: (N, 3) float64, finite, in the file's units and axes. triangles: (T, 3) int64, 0-based vertex
    indices, or None if the file has only points.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64] | None


def checked_mesh(path: Path, vertices: NDArray, triangles: NDArray | None) -> Mesh:
    """Make a `Mesh` from a reader's arrays. Raises InputError naming the file if they do not form one."""
    points = np.ascontiguousarray(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError(f"{path}: expected (N, 3) vertices, got {points.shape}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InputError(f"{path}: expected finite vertices, got NaN or infinity in vertex {row}")
    if (farthest := np.abs(points).max()) > _FARTHEST:
        raise InputError(
            f"{path}: expected coordinates within {_FARTHEST:g}, got {farthest:g}; export it again"
        )
    if triangles is None or len(triangles) == 0:
        return Mesh(points, None)
    return Mesh(points, checked_triangles(path, triangles, len(points)))


def checked_triangles(path: Path, triangles: NDArray, count: int) -> NDArray[np.int64]:
    """(T, 3) int64 of 0-based indices below `count`. Raises InputError naming the file."""
    faces = np.ascontiguousarray(triangles, np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(f"{path}: expected (T, 3) triangles, got {faces.shape}")
    if faces.size and (faces.min() < 0 or faces.max() >= count):
        wrong = int(faces.min() if faces.min() < 0 else faces.max())
        raise InputError(
            f"{path}: a triangle refers to vertex {wrong} (counted from 0), but there are {count} vertices"
        )
    return faces


def fan(corners: list[int]) -> list[tuple[int, int, int]]:
    """The triangle fan of a convex polygon, around its first corner."""
    return [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]


def strip(corners: list[int]) -> list[tuple[int, int, int]]:
    """The triangles of strips; each shares two corners with the one before, and -1 starts a new strip.

    Every second triangle is reversed, so that all face the same way. Degenerate triangles, which only connect
    strips, are dropped.
    """
    found = []
    start = 0
    for i, corner in enumerate(corners):
        if corner == -1:
            start = i + 1
        elif i >= start + 2:
            a, b = corners[i - 2], corners[i - 1]
            if len({a, b, corner}) == 3:
                found.append((a, b, corner) if (i - start) % 2 == 0 else (b, a, corner))
    return found
