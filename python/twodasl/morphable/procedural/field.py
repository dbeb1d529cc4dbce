"""The whole skin as one distance field, and its intersection with rays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.base import CENTER, base_radius
from twodasl.morphable.procedural.features.eyes import eye_field
from twodasl.morphable.procedural.features.lips import lip_offset
from twodasl.morphable.procedural.features.nose import nose_field
from twodasl.morphable.procedural.features.relief import relief_offset

Array = NDArray[np.float64]


def skin_field(p: Array, base: Array | None = None) -> Array:
    """Approximate signed distance (mm, positive outside) of points (M, 3) from the skin.

    ``base`` may hold the coarse head's radius along each point's direction from CENTER, where known.
    """
    ray = p - CENTER
    radius = np.linalg.norm(ray, axis=1)
    if base is None:
        base = base_radius(ray / radius[:, None])
    field = (radius - base) * 0.92
    field = field - relief_offset(p) - lip_offset(p)
    field = eye_field(p, field)
    return nose_field(p, field)


def solve_rays(
    origins: Array, directions: Array, start: Array, base: Array | None = None, pace: float = 0.9
) -> Array:
    """Distance along each ray (M,) to the outermost skin point, marching inward from ``start`` (outside).

    ``pace`` is the share of the field's value stepped; grazing rays overestimate their distance and need
    less.
    """
    t = np.array(start, dtype=np.float64)
    active = np.arange(len(t))
    rate = np.full(len(t), 1.0 / pace)
    value = np.zeros(0)
    step = np.zeros(0)
    for sweep in range(60):
        p = origins[active] + t[active, None] * directions[active]
        before, value = value, skin_field(p, None if base is None else base[active])
        if sweep:
            # Secant estimate of how fast the field falls along the ray, kept within what a marching step
            # may trust.
            slope = (before - value) / np.where(step == 0, 1.0, step)
            rate[active] = np.clip(slope, 0.4 / pace * 0.9, 1.3 / pace)
        open_ = np.abs(value) > 2e-3
        active, value = active[open_], value[open_]
        if not len(active):
            break
        step = np.clip(value / rate[active], -8.0, 8.0)
        t[active] -= step
    return t


def skin_points(directions: Array) -> Array:
    """Skin points (M, 3) along unit directions (M, 3) from CENTER, the nostrils not yet pressed in."""
    base = base_radius(directions)
    nose = (np.abs(directions[:, 0]) < 0.4) & (directions[:, 2] > 0.7)
    start = base + np.where(nose, 36.0, 9.0)
    origins = np.broadcast_to(CENTER, directions.shape)
    t = solve_rays(origins, directions, start, base)
    return CENTER + t[:, None] * directions


def skin_depth(x: Array, y: Array) -> Array:
    """Front-view depth z (M,) of the skin at (x, y): where a ray along -z first meets it."""
    origins = np.column_stack([x, y, np.zeros(len(x))])
    directions = np.broadcast_to(np.array([0.0, 0.0, 1.0]), origins.shape)
    return solve_rays(origins, directions, np.full(len(x), 125.0))
