"""One entry point for all mesh formats: the suffix selects the reader, and bad files raise InputError."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, reading
from ..io.arrays import read_array
from ..io.files import regular_file
from .matlab import read_mat, read_mat_triangles
from .mesh import MAX_VERTICES, Mesh, checked_mesh, checked_triangles
from .obj import read_obj
from .ply import read_ply

MAX_BYTES = 2 << 30
"""Larger files are rejected before they are read."""


def _read_npy(path: Path) -> Mesh:
    """Points only: (N, 3), or (3, N) if N is not 3."""
    array = read_array(path)
    if array.ndim == 2 and array.shape[1] != 3 and array.shape[0] == 3:
        array = array.T
    if array.ndim != 2 or array.shape[1] != 3 or not 0 < len(array) <= MAX_VERTICES:
        raise InputError(f"{path}: expected vertices, (N, 3) or (3, N), got shape {array.shape}")
    return checked_mesh(path, np.array(array, np.float64), None)


_READERS: dict[str, Callable[[Path], Mesh]] = {
    ".ply": read_ply,
    ".obj": read_obj,
    ".npy": _read_npy,
    ".mat": read_mat,
}

SUFFIXES = tuple(_READERS)
"""The suffixes that `read_mesh` accepts, the most complete formats first."""

# How the formats begin, so that a file under another's name can be told what it is.
_BEGINNINGS = ((b"ply", ".ply"), (b"\x93NUMPY", ".npy"), (b"MATLAB 5.0", ".mat"))


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Read a mesh file; its suffix, in any case, determines the format.

    `.obj`: Wavefront; polygons become triangle fans; colors and texture coordinates are ignored. `.ply`:
    ASCII, or binary of either byte order. `.npy`: vertices only, (N, 3) or (3, N), any real type. `.mat`:
    MATLAB 5 to 7, with vertices (N, 3) or (3, N) in a variable listed in `matlab.VERTEX_NAMES`, and
    triangles, if any, in one of `matlab.TRIANGLE_NAMES`, 1-based. Nothing is unpickled.

    Coordinates are returned as stored, in float64. Raises InputError naming the file if it is missing, empty,
    truncated, of another format than its suffix says, or not a mesh.
    """
    file = _checked_file(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = ", ".join(SUFFIXES)
        raise InputError(f"{file}: expected a mesh, a file named {known}; got {file.suffix or 'no suffix'!r}")
    with reading(file, "a mesh"):
        _check_beginning(file)
        return reader(file)


def read_triangles(path: str | os.PathLike[str], vertex_count: int) -> NDArray[np.int64]:
    """Triangles (T, 3) int64, 0-based, for meshes of `vertex_count` vertices whose files have none.

    `.obj`, `.ply`: the triangles of a mesh with as many vertices. `.npy`: (T, 3) or (3, T) integers. `.mat`:
    as in `read_mesh`. MATLAB counts from 1; a `.npy` is taken as 1-based if it contains `vertex_count` and
    never 0, as published `tri.npy` files do. Raises InputError naming the file.
    """
    file = _checked_file(path)
    with reading(file, "a file of triangles"):
        return _triangles(file, vertex_count)


def _triangles(file: Path, vertex_count: int) -> NDArray[np.int64]:
    suffix = file.suffix.lower()
    if suffix == ".mat":
        return checked_triangles(file, read_mat_triangles(file), vertex_count)
    if suffix == ".npy":
        array = read_array(file)
        if array.ndim == 2 and array.shape[1] != 3 and array.shape[0] == 3:
            array = array.T
        if array.ndim != 2 or array.shape[1] != 3 or not len(array) or array.dtype.kind not in "iu":
            raise InputError(
                f"{file}: expected triangles, (T, 3) or (3, T) integers, got {array.dtype} {array.shape}"
            )
        faces = np.array(array, np.int64)
        from_one = faces.min() == 1 and faces.max() == vertex_count
        return checked_triangles(file, faces - from_one, vertex_count)
    mesh = read_mesh(file)
    if mesh.triangles is None:
        raise InputError(f"{file}: expected triangles, got only vertices")
    return checked_triangles(file, mesh.triangles, vertex_count)


def _checked_file(path: str | os.PathLike[str]) -> Path:
    file = regular_file(path)
    size = file.stat().st_size
    if size == 0:
        raise InputError(f"{file}: is empty (0 bytes)")
    if size > MAX_BYTES:
        raise InputError(f"{file}: expected a mesh of at most {MAX_BYTES >> 30} GiB, got a larger file")
    return file


def _check_beginning(file: Path) -> None:
    """Reject a file that begins like another format than its suffix says."""
    with open(file, "rb") as stream:
        head = stream.read(16).removeprefix(codecs.BOM_UTF8)
    if head.startswith(b"PK\x03\x04"):
        raise InputError(f"{file}: is a zip archive; expected a mesh, one of {', '.join(SUFFIXES)}")
    for beginning, suffix in _BEGINNINGS:
        # "ply" alone could be a word in an OBJ file; the format's first line holds nothing else.
        whole = head.splitlines()[:1] == [beginning] if suffix == ".ply" else head.startswith(beginning)
        if whole and file.suffix.lower() != suffix:
            raise InputError(f"{file}: is named {file.suffix} but begins like a {suffix} file; rename it")
