"""Broad relief of cheeks, chin, temples and neck: what gives the coarse head its portrait."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.shapes import stroke

Array = NDArray[np.float64]


def relief_offset(p: Array) -> Array:
    """Outward offset (mm) at points (M, 3)."""
    offset = np.zeros(len(p))
    near = p[:, 2] > 0
    q = np.column_stack([np.abs(p[near, 0]), p[near, 1:]])
    # Nasolabial fold: from the wing of the nose past the corner of the mouth.
    total = stroke(q, [(20, -39, 2.6, -0.8), (25, -47, 3.0, -1.0), (30, -56, 3.4, -0.7), (33, -64, 4, -0.3)])
    # Malar and chin pads.
    total += stroke(q, [(38, -18, 8, 0.8), (50, -16, 8, 1.2)])
    total += stroke(q, [(0, -97, 6, 0.8), (8, -98, 6, 0.6)])
    offset[near] = total
    return offset
