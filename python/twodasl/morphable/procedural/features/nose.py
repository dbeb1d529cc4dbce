"""The nose: dorsum, side walls, tip, wings, columella, and the nostrils pressed in afterwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.shapes import (
    bell,
    ellipsoid,
    frame,
    round_chain,
    smooth_min,
    smoothstep,
    stroke,
)

Array = NDArray[np.float64]

_DORSUM = [
    (0, 15, 85.2, 4.6), (0, 5, 84.8, 4.8), (0, -6, 90.9, 4.9), (0, -17, 98.8, 4.9), (0, -27, 105.8, 5.0),
    (0, -34, 109.6, 5.6),
]  # fmt: skip
_BODY = [(0, 5, 76, 9.6), (0, -15, 80, 14.4), (0, -27, 87.0, 15.6), (0, -34, 92.6, 14.3)]

NOSTRIL_CENTER = np.array([6.5, -44.6, 103.6])
"""Middle of the left nostril's opening (mm)."""


def nose_field(p: Array, head: Array) -> Array:
    """Blend the nose into the field ``head`` sampled at points (M, 3)."""
    out = head.copy()
    near = (np.abs(p[:, 0]) < 34) & (p[:, 1] < 26) & (p[:, 1] > -62) & (p[:, 2] > 60)
    if not near.any():
        return out
    q, base = p[near], head[near]
    q = np.column_stack([np.abs(q[:, 0]), q[:, 1:]])
    nose = smooth_min(round_chain(q, _DORSUM, 2.0), round_chain(q, _BODY, 4.0), 12.0)
    tip = ellipsoid(q, (1.7, -36.6, 110.2), (6.6, 6.4, 8.0))
    nose = smooth_min(nose, tip, 6.0)
    floor = ellipsoid(q, (3.0, -38.8, 101.0), (9.5, 5.2, 11.0), frame(-5, 0, 0))
    nose = smooth_min(nose, floor, 4.0)
    columella = round_chain(q, [(0, -41.0, 97.0, 3.6), (0, -41.2, 106, 3.2), (0, -39.5, 111, 4.0)], 2.0)
    nose = smooth_min(nose, columella, 3.0)
    wing = ellipsoid(q, (11.3, -39.2, 97.5), (5.3, 6.3, 11.5), frame(-4, -17, 12))
    nose = smooth_min(nose, wing, 7.5)
    blend = 5.0 + 13.0 * smoothstep(-36, -18, q[:, 1])
    joined = smooth_min(base, nose, blend)
    # Alar groove above and behind the wing.
    joined = joined - stroke(q, [(8.5, -32.5, 1.9, -0.15), (12.6, -31.0, 2.1, -0.2), (17.2, -34, 2.2, -0.3),
                                 (18.8, -40, 1.9, -0.5)])  # fmt: skip
    out[near] = joined
    return out


def nostril_depth(p: Array) -> Array:
    """How far (0..1) points (M, 3) of the +x half lie inside the nostril opening."""
    q = p - NOSTRIL_CENTER
    along = np.array([0.22, 0.10, 1.0])
    along = along / np.linalg.norm(along)
    side = np.array([1.0, 0.0, -0.22])
    side = side / np.linalg.norm(side)
    u, v = q @ along, q @ side
    rho = np.sqrt((u / 5.0) ** 2 + (v / 3.0) ** 2)
    under = (
        smoothstep(-37.0, -40.5, p[:, 1])
        * smoothstep(114, 110, p[:, 2])
        * bell(np.minimum(q[:, 1] + 1.5, 0), 2.0)
    )
    return np.asarray(smoothstep(1.12, 0.45, rho) * under, dtype=np.float64)


def press_nostrils(p: Array) -> Array:
    """Move the points of the nostril openings up and back into the nose."""
    depth = nostril_depth(p)[:, None]
    return p + depth * np.array([0.2, 6.5, -3.0])
