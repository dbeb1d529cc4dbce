"""MATLAB files up to version 7, in which the field keeps its predicted vertices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .mesh import MAX_VERTICES, Mesh, checked_mesh

VERTEX_NAMES = ("vertices", "vertex", "Vertex", "Vertices", "pt3d", "points", "V")
"""Variables in which vertices are looked for, in this order; `vertex` is what the 3DDFA family writes."""

TRIANGLE_NAMES = ("triangles", "tri", "faces", "Faces", "F")
"""Variables in which triangles are looked for, in this order; counted from 1, as MATLAB does."""


def read_mat(path: Path) -> Mesh:
    """Vertices, (N, 3) or (3, N), and triangles, (T, 3) or (3, T), where there are any."""
    names = _variables(path)
    vertices = _read(path, names, VERTEX_NAMES)
    if vertices is None:
        found = ", ".join(list(names)[:8]) or "none"
        raise InputError(
            f"{path}: expected vertices in a variable named {', '.join(VERTEX_NAMES)}; got {found}"
        )
    triangles = _read(path, names, TRIANGLE_NAMES)
    return checked_mesh(path, vertices, None if triangles is None else _from_one(path, triangles))


def read_mat_triangles(path: Path) -> NDArray[np.int64]:
    """Triangles (T, 3), 0-based, of a file that need not hold vertices."""
    names = _variables(path)
    triangles = _read(path, names, TRIANGLE_NAMES)
    if triangles is None:
        found = ", ".join(list(names)[:8]) or "none"
        raise InputError(
            f"{path}: expected triangles in a variable named {', '.join(TRIANGLE_NAMES)}; got {found}"
        )
    return _from_one(path, triangles)


def _variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes; nothing is loaded."""
    from scipy.io import whosmat

    try:
        return {name: tuple(shape) for name, shape, _ in whosmat(str(path))}
    except NotImplementedError as error:
        raise InputError(f"{path}: is of MATLAB's version 7.3; save it with '-v7'") from error
    except Exception as error:  # a damaged file stops scipy's reader in many ways
        raise InputError(f"{path}: expected a MATLAB file (v5 to v7), got one scipy refuses") from error


def _read(path: Path, names: dict[str, tuple[int, ...]], wanted: tuple[str, ...]) -> NDArray[Any] | None:
    """The first of the wanted variables as (n, 3) numbers, or None."""
    from scipy.io import loadmat

    name = next((name for name in wanted if name in names), None)
    if name is None:
        return None
    shape = names[name]
    if len(shape) != 2 or 3 not in shape or not 0 < max(shape) <= MAX_VERTICES or min(shape) < 1:
        raise InputError(f"{path}: expected {name} of shape (n, 3) or (3, n), got {shape}")
    try:
        array = np.asarray(loadmat(str(path), variable_names=[name])[name])
    except Exception as error:  # as above
        raise InputError(f"{path}: {name} cannot be read; the file is damaged or cut off") from error
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise InputError(f"{path}: expected {name} to be real numbers, got {array.dtype} {array.shape}")
    return array if array.shape[1] == 3 else array.T


def _from_one(path: Path, triangles: NDArray[Any]) -> NDArray[np.int64]:
    if not np.isfinite(triangles).all() or (triangles != np.rint(triangles)).any():
        raise InputError(f"{path}: expected triangles of whole numbers, got others")
    return triangles.astype(np.int64) - 1  # after the cast: unsigned zeros must not wrap
