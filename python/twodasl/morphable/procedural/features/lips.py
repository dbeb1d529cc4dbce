"""The lips: a contact line, vermilion rolls above and below it, philtrum, corners and the fold over the
chin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.shapes import bell, curve, stroke

Array = NDArray[np.float64]

CORNER_X = 26.0
_CONTACT = curve(
    [(-4, -65.75), (0, -65.9), (4, -65.6), (10, -65.0), (18, -65.0), (23, -65.2), (26, -65.4), (32, -66.0)]
)
_UPPER = curve([(-5.4, -57.0), (0, -58.5), (3.0, -57.5), (5.4, -57.0), (9, -57.9), (15, -60.5), (21, -63.4),
                (24.5, -64.8), (26, -65.4), (32, -67.0)])  # fmt: skip
_LOWER = curve([(-6, -75.6), (0, -75.9), (6, -75.6), (12, -74.3), (18, -71.3), (23, -67.7),
                (26, -65.4), (32, -63.0)])  # fmt: skip


def contact_line(x: Array) -> Array:
    """Height (mm) of the line where the lips touch."""
    return np.asarray(_CONTACT(np.minimum(np.abs(x), 32)), dtype=np.float64)


def upper_border(x: Array) -> Array:
    """Height of the upper vermilion border: cupid's bow, then down to the corner."""
    return np.asarray(_UPPER(np.minimum(np.abs(x), 32)), dtype=np.float64)


def lower_border(x: Array) -> Array:
    """Height of the lower vermilion border."""
    return np.asarray(_LOWER(np.minimum(np.abs(x), 32)), dtype=np.float64)


def lip_offset(p: Array) -> Array:
    """Outward offset (mm) that the lips and the skin around them add to the face, at points (M, 3)."""
    offset = np.zeros(len(p))
    x = np.abs(p[:, 0])
    near = (x < 48) & (p[:, 1] < -40) & (p[:, 1] > -104) & (p[:, 2] > 35)
    if not near.any():
        return offset
    q = np.column_stack([x[near], p[near, 1:]])
    x, y = q[:, 0], q[:, 1]
    taper = np.clip(1 - (x / (CORNER_X + 1.5)) ** 2.2, 0.0, 1.0) ** 0.8
    inside = np.minimum(x, CORNER_X - 0.05)
    yc, yu, yl = contact_line(x), upper_border(inside), lower_border(inside)
    up = np.maximum(y - yc, 0.0) / np.maximum(yu - yc, 1.6)
    down = np.maximum(yc - y, 0.0) / np.maximum(yc - yl, 1.6)
    upper = 4.7 * taper * _roll(up, 1.0)
    lower = 4.9 * taper * _roll(down, 1.25)
    total = np.where(y >= yc, upper, lower)
    # Groove of the contact line, tucked corners, philtrum with its ridges, mentolabial fold.
    total -= 0.4 * taper**0.5 * bell(y - yc, 1.2)
    total += stroke(q, [(26.5, -66.0, 2.4, -0.5), (29.0, -67.0, 2.6, -0.5)])
    total += stroke(q, [(31, -66, 4.5, 0.8), (31, -72, 4.5, 0.6)])
    total += stroke(q, [(0, -47, 2.0, -0.6), (0, -55.5, 2.4, -1.0)])
    total += stroke(q, [(4.4, -47, 1.5, 0.3), (5.6, -56.0, 1.5, 0.8)])
    total += stroke(q, [(0, -83, 3.2, -1.2), (12, -81.5, 3.2, -0.9), (20, -78, 3.0, -0.3)])
    offset[near] = total
    return offset


def _roll(s: Array, fullness: float) -> Array:
    """Profile of a lip: 0 at the contact line, quickly out, flat to the border at s = 1, a soft skirt
    beyond."""
    bulge = 1 - (1 - np.minimum(s, 1.0)) ** 2.6
    shape = bulge * (1 - 0.22 * fullness * np.minimum(s, 1.0) ** 3)
    beyond = np.maximum(s - 1.0, 0.0)
    return np.asarray(shape * np.exp(-1.1 * beyond - 0.6 * beyond**2), dtype=np.float64)
