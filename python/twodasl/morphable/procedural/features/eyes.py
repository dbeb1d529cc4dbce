"""Eye region of the skin: lids wrapped over the eyeball, the upper crease, the orbit's hollows and the
brow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from twodasl.morphable.procedural.shapes import smooth_min, smoothstep, stroke

Array = NDArray[np.float64]

EYE_CENTER = np.array([31.6, 0.0, 68.3])
EYE_RADIUS = 12.0
LID_THICKNESS = 1.5

_UPPER = np.array([(16.2, -2.0), (17.9, -0.3), (21.0, 2.2), (25.5, 4.2), (30.0, 5.0), (34.5, 4.8),
                   (39.3, 3.3), (43.2, 1.5), (45.6, 0.2)])  # fmt: skip
_LOWER = np.array([(16.2, -2.0), (18.5, -3.0), (22.5, -4.2), (28.0, -5.2), (33.0, -5.6), (38.0, -4.8),
                   (42.3, -2.5), (45.6, 0.2)])  # fmt: skip


def _resample(table: Array, count: int) -> Array:
    step = np.r_[0, np.cumsum(np.linalg.norm(np.diff(table, axis=0), axis=1))]
    spline = CubicSpline(step, table, axis=0)
    fine = spline(np.linspace(0, step[-1], 400))
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))]
    target = np.linspace(0, length[-1], count)
    return np.column_stack([np.interp(target, length, fine[:, k]) for k in range(2)])


def lid_margin(count: int) -> Array:
    """Closed contour of the left palpebral fissure in the front view, (2*count, 2): inner corner, upper lid
    to the outer corner (index ``count``), then the lower lid back."""
    upper = _resample(_UPPER, count + 1)
    lower = _resample(_LOWER, count + 1)
    return np.concatenate([upper[:-1], lower[::-1][:-1]])


def eye_field(p: Array, head: Array) -> Array:
    """Blend the lids and the orbit's relief into the field ``head`` sampled at points (M, 3)."""
    out = head.copy()
    x = np.abs(p[:, 0])
    near = (x < 70) & (np.abs(p[:, 1]) < 45) & (p[:, 2] > 25)
    if not near.any():
        return out
    q = np.column_stack([x[near], p[near, 1:]])
    lids = np.linalg.norm(q - EYE_CENTER, axis=1) - (EYE_RADIUS + LID_THICKNESS)
    joined = smooth_min(head[near], lids, 5.0)
    # Upper crease, deepest over the middle of the lid, and the fold of skin hanging over it.
    joined = joined - stroke(q, [(17.5, 3.0, 1.1, -0.2), (22, 6.6, 1.1, -0.9), (28, 8.9, 1.1, -1.2),
                                 (34, 9.1, 1.1, -1.2), (40, 7.3, 1.1, -1.0),
                                 (46.5, 3.6, 1.1, -0.3)])  # fmt: skip
    joined = joined - stroke(q, [(20, 8.2, 2.4, 0.3), (27, 11.8, 2.8, 1.2), (34, 12.2, 2.8, 1.7),
                                 (41, 10.2, 2.8, 1.9), (47.5, 6.0, 2.4, 0.9)])  # fmt: skip
    # Lower lid: roll under the margin, then the shallow groove to the cheek.
    joined = joined - stroke(q, [(19, -6.5, 1.6, 0.0), (24, -8.0, 1.7, 0.35), (33, -9.0, 1.7, 0.4),
                                 (41, -6.5, 1.6, 0.1)])  # fmt: skip
    joined = joined - stroke(q, [(17.5, -8, 2.2, -0.6), (22, -12.5, 2.4, -0.9), (30, -15, 2.6, -0.6),
                                 (38, -13.5, 2.6, -0.3)])  # fmt: skip
    # Medial hollow next to the bridge, brow ridge above.
    joined = joined - stroke(q, [(13.5, 6, 3.0, -0.8), (14.5, 0, 3.0, -1.2), (15.5, -5, 3.0, -0.4)])
    joined = joined - stroke(q, [(10, 19, 5, 0.4), (22, 21.5, 5, 0.6), (36, 23, 5, 0.6), (48, 19, 5, 0.9),
                                 (54, 12, 5, 0.7)])  # fmt: skip
    out[near] = joined
    return out


def brow_weight(p: Array) -> Array:
    """Eyebrow hair, 0..1, at points (M, 3); both sides."""
    q = np.column_stack([np.abs(p[:, 0]), p[:, 1:]])
    hair = stroke(q, [(14.5, 18.9, 2.6, 0.9), (22, 21.0, 2.9, 1.0), (31, 23.2, 2.7, 1.0),
                      (40, 24.0, 2.2, 1.0), (47, 21.5, 1.6, 0.8), (52.5, 17.5, 1.1, 0.4)])  # fmt: skip
    return np.asarray(smoothstep(0.08, 0.9, hair) * (p[:, 2] > 30), dtype=np.float64)


def lid_heights(x: Array) -> tuple[Array, Array]:
    """Front-view heights (mm) of the upper and lower lid margins at |x|, held constant beyond the corners."""
    inside = np.clip(np.abs(x), _UPPER[0, 0], _UPPER[-1, 0])
    upper, lower = _resample(_UPPER, 80), _resample(_LOWER, 80)
    return np.interp(inside, upper[:, 0], upper[:, 1]), np.interp(inside, lower[:, 0], lower[:, 1])
