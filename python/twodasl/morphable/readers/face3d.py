"""face3d's `BFM.mat` (github.com/yfeng95/face3d, made from BFM 2009 and 300W-3D's expressions).

A struct `model`: `shapeMU`, `expMU`, `texMU` (3N, 1), `shapePC` (3N, 199), `expPC` (3N, 29), `texPC`
(3N, 199), x y z or r g b interleaved, `shapeEV`, `expEV`, `texEV` standard deviations, `tri` (3, T) and
`kpt_ind` (68,) counted from 1. N = 53,215 vertices, micrometers, colors from 0 to 255.

Conversion: the mean is `shapeMU` + `expMU`, as face3d adds them; millimeters; modes of one standard
deviation; colors from 0 to 1; triangles outward. `tri_mouth`, which closes the lips, and `segbin` are not
read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.matlab import read_mat
from ..model import MorphableModel
from .assemble import BYTE, Floats, assemble, columns, points, spreads, triangle_rows, vertex_indices
from .tddfa import MICROMETER

GEOMETRY = ("shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV", "tri", "kpt_ind")
COLORS = ("texMU", "texPC", "texEV")


def is_face3d(names: set[str]) -> bool:
    """Whether a MATLAB file with variables of these names may be one."""
    return "model" in names


def read_face3d(path: Path) -> MorphableModel:
    """Read the file. Raises InputError naming what is missing or invalid."""
    fields = read_mat(path, ("model",)).get("model")
    if not isinstance(fields, dict):
        raise InputError(f"{path}: model: expected one struct, got another kind of variable")
    missing = [name for name in GEOMETRY if name not in fields]
    if missing:
        raise InputError(f"{path}: model: expected the fields {', '.join(GEOMETRY)}, got no {missing[0]}")
    mean = points(path, "shapeMU", fields["shapeMU"])
    count = len(mean)
    mean += points(path, "expMU", fields["expMU"], count)
    landmarks = vertex_indices(path, "kpt_ind", fields["kpt_ind"], count, 1).reshape(-1)
    if len(landmarks) != 68:
        raise InputError(f"{path}: kpt_ind: expected 68 vertices, got {len(landmarks)}")
    albedo = None
    if all(name in fields for name in COLORS):
        colors = points(path, "texMU", fields["texMU"], count) / BYTE
        albedo = colors, scaled(path, fields, "tex", count) / BYTE
    return assemble(
        path,
        "face3d",
        MICROMETER,
        mean,
        scaled(path, fields, "shape", count),
        scaled(path, fields, "exp", count),
        triangle_rows(path, "tri", fields["tri"], count, 1),
        landmarks,
        albedo,
    )


def scaled(path: Path, fields: dict[str, Any], part: str, count: int) -> Floats:
    """Modes (K, N, 3) of `<part>PC` with the standard deviations `<part>EV`."""
    modes = fields[f"{part}PC"]
    width = modes.shape[1] if np.ndim(modes) == 2 else 0
    sigma = spreads(path, f"{part}EV", fields[f"{part}EV"], width)
    return columns(path, f"{part}PC", modes, count, sigma)
