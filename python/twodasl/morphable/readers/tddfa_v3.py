"""3DDFA-V3's `face_model.npy` (made by that project from BFM 2009), 35,709 vertices of the face.

A dict pickled in a `.npy`: `u`, `u_alb` (3N, 1), `id` (3N, 80), `exp` (3N, 64), `alb` (3N, 80), with x y z or
r g b interleaved, in decimeters and in colors from 0 to 255, already scaled by their standard deviations;
`tri` (T, 3) and `ldm68` (68,), counted from 0. It is read as data (see `io.pickles`), never unpickled.

Conversion: millimeters; colors from 0 to 1; triangles outward. `point_buf`, the texture coordinates, the
landmarks of other schemes and the annotation of parts are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..model import MorphableModel
from .assemble import BYTE, assemble, columns, points, triangle_rows, vertex_indices
from .containers import read_npy

NAME = "face_model.npy"
DECIMETER = 100.0
KEYS = ("u", "id", "exp", "tri", "ldm68")
COLORS = ("u_alb", "alb")


def is_tddfa_v3(content: Any) -> bool:
    """Whether the content of a `.npy` looks like the dict."""
    return isinstance(content, dict) and "u" in content and "id" in content and "exp" in content


def read_tddfa_v3(path: Path, content: Any = None) -> MorphableModel:
    """Read the file, or its content as read. Raises InputError naming what is missing or does not fit."""
    if content is None:
        content = read_npy(path)
    missing = [key for key in KEYS if not isinstance(content.get(key), np.ndarray)]
    if missing:
        raise InputError(f"{path}: expected the arrays {', '.join(KEYS)}, got no {missing[0]}")
    mean = points(path, "u", content["u"])
    count = len(mean)
    landmarks = vertex_indices(path, "ldm68", content["ldm68"], count, 0).reshape(-1)
    if len(landmarks) != 68:
        raise InputError(f"{path}: ldm68: expected 68 vertices, got {len(landmarks)}")
    albedo = None
    if all(isinstance(content.get(key), np.ndarray) for key in COLORS):
        colors = points(path, "u_alb", content["u_alb"], count) / BYTE
        albedo = colors, columns(path, "alb", content["alb"], count, None) / BYTE
    return assemble(
        path,
        "3ddfa-v3",
        DECIMETER,
        mean,
        columns(path, "id", content["id"], count, None),
        columns(path, "exp", content["exp"], count, None),
        triangle_rows(path, "tri", content["tri"], count, 0),
        landmarks,
        albedo,
    )
