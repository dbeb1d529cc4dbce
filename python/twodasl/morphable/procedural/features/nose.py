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
    (0, 14, 84.5, 5.5), (0, 5, 84.0, 6.0), (0, -6, 89.5, 6.6), (0, -17, 97.0, 7.0), (0, -27, 104.0, 7.2),
    (0, -35, 108.0, 7.2),
]  # fmt: skip
_BODY = [(0, 2, 78, 9), (0, -15, 84, 11.5), (0, -30, 93, 13), (0, -36, 97, 12)]

NOSTRIL_CENTER = np.array([6.6, -44.6, 103.0])
"""Middle of the left nostril's opening (mm)."""


def nose_field(p: Array, head: Array) -> Array:
    """Blend the nose into the field ``head`` sampled at points (M, 3)."""
    out = head.copy()
    near = (np.abs(p[:, 0]) < 34) & (p[:, 1] < 26) & (p[:, 1] > -62) & (p[:, 2] > 60)
    if not near.any():
        return out
    q, base = p[near], head[near]
    q = np.column_stack([np.abs(q[:, 0]), q[:, 1:]])
    dorsum = round_chain(q, _DORSUM, 2.0)
    body = round_chain(q, _BODY, 4.0)
    nose = smooth_min(dorsum, body, 9.0)
    tip = ellipsoid(q, (2.6, -36.8, 109.6), (6.6, 6.8, 8.6))
    nose = smooth_min(nose, tip, 5.0)
    columella = round_chain(q, [(0, -43.0, 97.0, 4.2), (0, -42.2, 106, 3.4), (0, -40, 111, 4.0)], 2.0)
    nose = smooth_min(nose, columella, 3.0)
    wing = ellipsoid(q, (11.0, -38.9, 98.8), (5.9, 6.6, 10.0), frame(-12, 24, 10))
    nose = smooth_min(nose, wing, 3.2)
    blend = 3.0 + 8.0 * smoothstep(-36, -20, q[:, 1])
    joined = smooth_min(base, nose, blend)
    # Alar groove above and behind the wing, and the soft facet between tip and wing.
    joined = joined - stroke(q, [(9.5, -33.5, 1.6, -0.5), (13.8, -31.5, 1.5, -1.0), (17.5, -35, 1.5, -1.0),
                                 (18.6, -41, 1.5, -0.6)])  # fmt: skip
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
    rho = np.sqrt((u / 5.4) ** 2 + (v / 3.1) ** 2)
    under = (
        smoothstep(-37.0, -40.5, p[:, 1]) * smoothstep(114, 110, p[:, 2]) * bell(np.minimum(q[:, 1], 0), 6.0)
    )
    return np.asarray(smoothstep(1.08, 0.55, rho) * under, dtype=np.float64)


def press_nostrils(p: Array) -> Array:
    """Move the points of the nostril openings up and back into the nose."""
    depth = nostril_depth(p)[:, None]
    return p + depth * np.array([0.2, 6.0, -3.0])
