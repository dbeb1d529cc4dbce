"""Broad relief of cheeks, chin, temples and neck: what gives the coarse head its portrait."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.shapes import smoothstep, stroke

Array = NDArray[np.float64]


def relief_offset(p: Array) -> Array:
    """Outward offset (mm) at points (M, 3)."""
    offset = np.zeros(len(p))
    near = p[:, 2] > 0
    if not near.any():
        return _side_relief(p)
    q = np.column_stack([np.abs(p[near, 0]), p[near, 1:]])
    # Nasolabial fold: from the wing of the nose past the corner of the mouth, and the pads next to it.
    total = stroke(q, [(20, -39, 2.4, -0.7), (25, -47, 3.0, -0.9), (30, -56, 3.4, -0.6), (33, -64, 4, -0.2)])
    total += stroke(q, [(24, -32, 6, 0.6), (31, -42, 6, 0.8), (37, -52, 7, 0.6)])
    # Cheekbone, the hollow under it, chin pads.
    total += stroke(q, [(38, -17, 7, 0.9), (49, -16, 7, 1.5), (56, -15, 7, 0.6)])
    total += stroke(q, [(46, -46, 8, -0.8), (50, -58, 8, -0.8)])
    total += stroke(q, [(0, -97, 6, 0.8), (8, -98, 6, 0.6)])
    # Larynx, and the hollow over it.
    total += stroke(q, [(0, -128, 6, 0.0), (0, -140, 6, 2.2), (0, -156, 7, 0.8)])
    offset[near] = total
    offset += _side_relief(p)
    return offset


def _side_relief(p: Array) -> Array:
    """Relief seen from the side: strokes over (z, y), on the flanks only."""
    q = np.column_stack([p[:, 2], p[:, 1]])
    flank = smoothstep(8, 24, np.abs(p[:, 0]))
    # Border of the lower jaw from chin to angle to ear, and the undercut below it.
    border = stroke(q, [(84, -106, 5, 0.3), (66, -102, 5, 0.9), (46, -96, 5, 1.2), (26, -88, 5, 1.5),
                        (15, -78, 5, 1.4), (10, -62, 5, 0.7)])  # fmt: skip
    under = stroke(q, [(70, -112, 5, -0.5), (46, -107, 6, -1.1), (26, -100, 6.5, -1.3), (8, -88, 6.5, -1.4),
                       (0, -70, 6.5, -1.1), (-2, -54, 6, -0.5)])  # fmt: skip
    # Muscle from behind the ear down to the pit of the neck, and the hollow in front of it.
    muscle = stroke(q, [(-20, -58, 6, 0.3), (-12, -85, 6.5, 1.4), (0, -120, 7, 1.8), (14, -150, 6, 1.8),
                        (24, -178, 5, 1.6)])  # fmt: skip
    hollow = stroke(q, [(10, -100, 6, -0.6), (20, -130, 6, -1.0), (28, -160, 5, -0.8)])
    return np.asarray((border + under + muscle + hollow) * flank, dtype=np.float64)
