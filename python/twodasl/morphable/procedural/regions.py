"""Soft region weights over the mean head, for expressions, shape modes and color."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.builder import HalfMesh
from twodasl.morphable.procedural.features.eyes import EYE_CENTER, brow_weight, lid_heights
from twodasl.morphable.procedural.features.lips import CORNER_X, contact_line, lower_border, upper_border
from twodasl.morphable.procedural.features.nose import nostril_depth
from twodasl.morphable.procedural.shapes import smoothstep

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SIDED = ("eyeball", "eye_socket", "upper_lid", "lower_lid", "caruncle", "cheek")


def half_regions(mesh: HalfMesh, skin_count: int) -> dict[str, Array]:
    """Weights (H,) on the +x half for every region, sided names without their suffix."""
    p = mesh.vertices()
    x, y, z = p.T
    on_skin = np.arange(len(p)) < skin_count
    on_skin[mesh.groups["lips"]] = True

    def group(*names: str) -> Array:
        w = np.zeros(len(p))
        for name in names:
            w[mesh.groups[name]] = 1.0
        return w

    ears, bag, socket, ball = group("ears"), group("mouth_interior"), group("socket"), group("eyeball")
    face = on_skin & (z > 20)
    top, bottom = lid_heights(x)
    radial = np.linalg.norm(p - EYE_CENTER, axis=1)
    near_eye = (
        smoothstep(19.0, 14.5, radial) * (z > EYE_CENTER[2] - 6) * (face | (socket > 0) & (z > EYE_CENTER[2]))
    )
    middle = (top + bottom) / 2
    upper_lid = near_eye * smoothstep(14.0, 4.5, y - top) * (y > middle - 1e-9)
    lower_lid = near_eye * smoothstep(12.0, 3.5, bottom - y) * (y <= middle - 1e-9)
    inside = np.minimum(x, CORNER_X)
    yc, yu, yl = contact_line(x), upper_border(inside), lower_border(inside)
    span = smoothstep(CORNER_X + 1.2, CORNER_X - 0.6, x) * face * (y < -50) * (y > -82)
    lip_upper = span * smoothstep(0.7, -0.5, y - yu) * (y >= yc)
    lip_lower = span * smoothstep(0.7, -0.5, yl - y) * (y < yc)
    below = smoothstep(8.0, -26.0, y + 58 - 0.35 * np.minimum(z - 50, 0))
    lower_face = np.where(z > 78, (y < yc) * 1.0, 0.0)
    jaw = np.maximum(
        smoothstep(-2.0, 75.0, z) * below, lower_face * smoothstep(26, 14, x) * smoothstep(60, 85, z)
    )
    jaw = jaw * smoothstep(-128.0, -112.0, y) * (on_skin | (bag > 0))
    jaw = np.where((y >= yc) & (z > 60) & (x < CORNER_X), jaw * smoothstep(CORNER_X - 8, CORNER_X, x), jaw)
    return {
        "eyeball": ball,
        "eye_socket": socket,
        "caruncle": group("caruncle"),
        "upper_lid": upper_lid,
        "lower_lid": lower_lid,
        "lip_upper": lip_upper,
        "lip_lower": lip_lower,
        "mouth_interior": bag,
        "nostrils": nostril_depth(p) * on_skin,
        "ears": ears,
        "brows": brow_weight(p) * on_skin,
        "neck": on_skin
        * smoothstep(-100.0, -122.0, y + 0.25 * np.minimum(z, 40) * (z > 0) + 0.35 * np.minimum(z, 0)),
        "scalp": on_skin
        * np.clip(smoothstep(62, 84, y + 0.35 * np.maximum(0, 55 - z)), 0, 1)
        * smoothstep(-60, -30, y),
        "nose": on_skin * smoothstep(24, 12, x) * smoothstep(14, 0, y) * smoothstep(-52, -46, y) * (z > 75),
        "cheek": on_skin * np.exp(-(((x - 38) / 16) ** 2 + ((y + 32) / 18) ** 2)) * (z > 20),
        "forehead": on_skin * smoothstep(18, 34, y) * smoothstep(84, 66, y) * smoothstep(30, 60, z),
        "chin": on_skin * np.exp(-((x / 16) ** 2 + ((y + 99) / 13) ** 2)) * smoothstep(50, 80, z),
        "jaw": jaw,
        "skin": on_skin * 1.0,
    }


def whole_regions(half: dict[str, Array], vertices: Array, mirror: IntArray) -> dict[str, Array]:
    """Spread half weights over the whole mesh; sided names get ``_left`` (+x, subject's left) and
    ``_right``."""
    count = len(next(iter(half.values())))
    result: dict[str, Array] = {}
    for name, weight in half.items():
        left = np.zeros(len(vertices))
        left[:count] = weight
        right = left[mirror]
        if name in _SIDED:
            result[f"{name}_left"] = left
            result[f"{name}_right"] = right
        else:
            result[name] = np.maximum(left, right)
    result["ear_left"] = result["ears"] * (vertices[:, 0] > 0)
    result["ear_right"] = result["ears"] * (vertices[:, 0] < 0)
    return result
