"""Wavefront OBJ: the lines `v` and `f` of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .mesh import Mesh, checked_mesh, fan


def read_obj(path: Path) -> Mesh:
    """Vertices and triangles of an OBJ file.

    `v x y z`, with whatever follows ignored; `f` with corners `7`, `7/1`, `7//1` or `7/1/2`, counted from 1
    or, if negative, back from the last vertex so far; polygons become fans of triangles. Other lines are
    ignored. A file cut off between two lines of faces cannot be told from a whole one. Raises InputError with
    the line.
    """
    rows: list[list[bytes]] = []
    triangles: list[tuple[int, int, int]] = []
    text = path.read_bytes().replace(b"\\\n", b" ").replace(b"\\\r\n", b" ")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        if words[0] == b"v":
            if len(words) < 4:
                raise InputError(f"{path}: line {number}: expected 'v x y z', got {_shown(line)}")
            rows.append(words[1:4])
        elif words[0] == b"f":
            triangles += fan(_corners(path, number, line, words[1:], len(rows)))
    if not rows:
        raise InputError(f"{path}: expected an OBJ mesh, got a file without a line 'v x y z'")
    try:
        vertices = np.array(rows).astype(np.float64)
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in the lines 'v', got a word ({error})") from error
    return checked_mesh(path, vertices, np.array(triangles, np.int64) if triangles else None)


def _corners(path: Path, number: int, line: bytes, words: list[bytes], vertex_count: int) -> list[int]:
    """0-based vertices of a line `f`."""
    try:
        corners = [int(word.partition(b"/")[0]) for word in words]
    except ValueError:
        corners = []
    if len(corners) < 3 or 0 in corners:
        raise InputError(f"{path}: line {number}: expected 'f' and three vertices, got {_shown(line)}")
    return [corner - 1 if corner > 0 else vertex_count + corner for corner in corners]


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("latin1"))
