"""MATLAB files of versions 5 to 7, the usual format of published predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io import matlab
from .mesh import MAX_VERTICES, Mesh, checked_mesh

VERTEX_NAMES = ("vertices", "vertex", "Vertex", "Vertices", "pt3d", "points", "V")
"""Variables searched for vertices, in this order; the 3DDFA family writes `vertex`."""

TRIANGLE_NAMES = ("triangles", "tri", "faces", "Faces", "F")
"""Variables searched for triangles, in this order; 1-based, as in MATLAB."""


def read_mat(path: Path) -> Mesh:
    """Vertices, (N, 3) or (3, N), and triangles, (T, 3) or (3, T), if there are any."""
    found = matlab.read_mat(path, (*VERTEX_NAMES, *TRIANGLE_NAMES))
    vertices = _first(path, found, VERTEX_NAMES)
    if vertices is None:
        raise _absent(path, "vertices", VERTEX_NAMES)
    triangles = _first(path, found, TRIANGLE_NAMES)
    return checked_mesh(path, vertices, None if triangles is None else _from_one(path, triangles))


def read_mat_triangles(path: Path) -> NDArray[np.int64]:
    """Triangles (T, 3), 0-based, from a file that need not have vertices."""
    triangles = _first(path, matlab.read_mat(path, TRIANGLE_NAMES), TRIANGLE_NAMES)
    if triangles is None:
        raise _absent(path, "triangles", TRIANGLE_NAMES)
    return _from_one(path, triangles)


def _first(path: Path, found: dict[str, matlab.Value], wanted: tuple[str, ...]) -> NDArray[Any] | None:
    """The first of the wanted variables that exists, as (n, 3) numbers, or None."""
    name = next((name for name in wanted if name in found), None)
    if name is None:
        return None
    array = found[name]
    if not isinstance(array, np.ndarray):
        what = "a struct" if isinstance(array, dict) else array
        raise InputError(f"{path}: expected {name} to be real numbers, got {what}")
    if array.ndim != 2 or 3 not in array.shape or not 0 < array.size <= 3 * MAX_VERTICES:
        raise InputError(f"{path}: expected {name} of shape (n, 3) or (3, n), got {array.shape}")
    return array if array.shape[1] == 3 else array.T


def _absent(path: Path, what: str, wanted: tuple[str, ...]) -> InputError:
    found = ", ".join(sorted(matlab.mat_names(path))[:8]) or "none"
    return InputError(f"{path}: expected {what} in a variable named {', '.join(wanted)}; got {found}")


def _from_one(path: Path, triangles: NDArray[Any]) -> NDArray[np.int64]:
    if not ((triangles == np.rint(triangles)) & (np.abs(triangles) < 2**53)).all():
        raise InputError(f"{path}: expected whole numbers in the triangles, got others")
    return triangles.astype(np.int64) - 1  # after the cast: unsigned zeros must not wrap
