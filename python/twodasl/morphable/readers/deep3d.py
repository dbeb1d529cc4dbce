"""Deep3DFaceRecon's `BFM_model_front.mat` (made by that project from BFM 2009), 35,709 vertices of the face.

`meanshape`, `meantex` (1, 3N), `idBase` (3N, 80), `exBase` (3N, 64), `texBase` (3N, 80), with x y z or r g b
interleaved, in decimeters and in colors from 0 to 255, already scaled by their standard deviations; `tri` (T,
3) and `keypoints` (1, 68), counted from 1.

Conversion: millimeters; colors from 0 to 1; triangles outward. The masks and `point_buf` are not read. The
mean is not moved to its centroid, as that project's code does when loading.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...io.matlab import read_mat
from ..model import MorphableModel
from .assemble import BYTE, assemble, columns, points, triangle_rows, vertex_indices

DECIMETER = 100.0
KEYS = ("meanshape", "idBase", "exBase", "tri", "keypoints")
COLORS = ("meantex", "texBase")


def is_deep3d(names: set[str]) -> bool:
    """Whether a MATLAB file with variables of these names may be one."""
    return "idBase" in names


def read_deep3d(path: Path) -> MorphableModel:
    """Read the file. Raises InputError naming the variable that is missing or does not fit."""
    arrays = read_mat(path, (*KEYS, *COLORS))
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise InputError(f"{path}: expected the variables {', '.join(KEYS)}, got no {missing[0]}")
    mean = points(path, "meanshape", arrays["meanshape"])
    count = len(mean)
    landmarks = vertex_indices(path, "keypoints", arrays["keypoints"], count, 1).reshape(-1)
    if len(landmarks) != 68:
        raise InputError(f"{path}: keypoints: expected 68 vertices, got {len(landmarks)}")
    albedo = None
    if all(name in arrays for name in COLORS):
        colors = points(path, "meantex", arrays["meantex"], count) / BYTE
        albedo = colors, columns(path, "texBase", arrays["texBase"], count, None) / BYTE
    return assemble(
        path,
        "deep3d-front",
        DECIMETER,
        mean,
        columns(path, "idBase", arrays["idBase"], count, None),
        columns(path, "exBase", arrays["exBase"], count, None),
        triangle_rows(path, "tri", arrays["tri"], count, 1),
        landmarks,
        albedo,
    )
