"""A mesh as the readers hand it out, checked once for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MAX_VERTICES = 20_000_000
"""More vertices, or triangles, than this are a damaged file and not a face."""

# A head in nanometers is nearer. Beyond it one damaged file would be the mean of a whole set's errors.
_FARTHEST = 1e9


@dataclass(frozen=True, eq=False)
class Mesh:
    """What a mesh file holds.

    vertices: (N, 3) float64, finite, in the file's units and axes. triangles: (T, 3) int64, 0-based indices
    of vertices, or None where the file holds points alone.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64] | None


def checked_mesh(path: Path, vertices: NDArray, triangles: NDArray | None) -> Mesh:
    """A `Mesh` of what a reader found. Raises InputError naming the file where it is not one."""
    points = np.ascontiguousarray(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError(f"{path}: expected (N, 3) vertices, got {points.shape}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InputError(f"{path}: expected finite vertices, got NaN or infinity in vertex {row}")
    if (farthest := np.abs(points).max()) > _FARTHEST:
        raise InputError(
            f"{path}: expected coordinates within {_FARTHEST:g}, got {farthest:g}; write it anew"
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
            f"{path}: a triangle names vertex {wrong} (counted from 0), but there are {count} vertices"
        )
    return faces


def fan(corners: list[int]) -> list[tuple[int, int, int]]:
    """The triangles of a convex polygon, all of them with its first corner."""
    return [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]


def strip(corners: list[int]) -> list[tuple[int, int, int]]:
    """The triangles of strips of them, each two corners of the last one and a new one; -1 ends a strip.

    Every second one is turned, so that all face one way. Triangles of two corners, which only lead from one
    strip to the next, are left out.
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
