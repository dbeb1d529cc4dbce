"""The coarse head: cranium, face and neck without nose, lids and lips, as a radius over directions.

Hand-placed anatomical control points (half a head, millimetres, Frankfurt horizontal) are interpolated by a
triharmonic radial basis function. The unknown is not the radius itself but its ratio to a simple template
(an ellipsoid joined to a neck cylinder), which keeps the interpolation gentle where rays graze the neck.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

CENTER = np.array([0.0, -10.0, 0.0])
"""Every skin ray starts here: the head without its ears is star-shaped about this point."""

# Mid-sagittal profile, (y, z): forehead, glabella, nasion, maxilla under the nose, lips, chin, throat.
_PROFILE_FRONT = [
    (105, 30), (98, 47.5), (88, 63), (76, 75.5), (64, 84), (52, 89.8), (40, 93.3), (30, 95), (20, 95.2), (12, 91.5),
    (6, 87), (-5, 84.5), (-14, 85), (-25, 89), (-36, 94.5), (-44, 99), (-51, 99.6), (-58, 99.6), (-65.5, 98.2),
    (-74, 97.2), (-83, 94.6), (-90, 96), (-97, 97), (-104, 95), (-109.5, 89.5), (-112.5, 82), (-114, 72), (-115.2, 62),
    (-116.8, 52), (-120.5, 44), (-128, 39.5), (-140, 37.5), (-155, 35.5), (-170, 32.5), (-182, 29),
]  # fmt: skip
# Crown, occiput and nape, (y, z).
_PROFILE_BACK = [
    (109.5, 14), (112, -4), (112, -20), (108.5, -40), (101, -58), (90, -73.5), (75, -86), (58, -94), (40, -98),
    (22, -99), (4, -97), (-14, -92), (-32, -84), (-48, -76), (-64, -70), (-82, -67), (-105, -67), (-130, -70),
    (-155, -75.5), (-182, -83),
]  # fmt: skip
# Horizontal sections, y: (x, z) from the front to the back.
_SECTIONS: dict[float, list[tuple[float, float]]] = {
    104: [(16, 28), (28, 14), (34, -8), (30, -34), (16, -50)],
    90: [(20, 57.5), (38, 45), (49, 28), (56, 7), (57, -15), (53, -38), (41, -58), (22, -70)],
    70: [(20, 77.5), (38, 67), (51, 51), (60.5, 30), (66, 6), (68, -18), (64.5, -42), (54, -64), (30, -82)],
    46: [(15, 90.5), (30, 84.5), (42, 75), (51.5, 62), (59, 45), (66, 22), (72, 0), (74.2, -22), (71, -47), (60, -70),
         (40, -88), (20, -95.5)],
    25: [(12, 94), (25, 90.3), (37, 84), (46, 75), (53, 63), (58.5, 47), (64.5, 28), (70.5, 5), (74, -20), (71, -46),
         (60, -69), (40, -88), (20, -96)],
    11: [(8, 89), (16, 83.5), (25, 81), (35, 79), (43, 73.5), (50.5, 63), (56, 49), (62, 32), (68, 12), (71, -5),
         (72, -22), (69.5, -46), (59, -69), (39, -87)],
    0: [(8, 85), (14, 79), (20, 75), (32, 73.5), (41, 71), (47.5, 65.5), (54.5, 51), (61, 34), (66, 18), (69, 2),
        (70, -20), (67, -45), (56, -67), (37, -85)],
    -14: [(10, 84), (18, 79.5), (28, 78), (38, 75.5), (47, 69.5), (54.5, 59.5), (60.5, 47), (65.5, 33), (68, 18),
          (68.5, 4), (67, -20), (63, -44), (52, -65), (34, -81)],
    -28: [(12, 87), (22, 83.5), (32, 80.5), (42, 75.5), (50, 67.5), (57, 55.5), (62, 42), (65.5, 27), (66.5, 12),
          (66, -2), (63, -20), (58, -42), (48, -61), (30, -76)],
    -46: [(10, 96.5), (20, 90.5), (30, 84.5), (40, 76), (48, 65.5), (54.5, 53), (59.5, 38), (62.5, 23), (64, 8),
          (62.5, -10), (58, -28), (52, -45), (42, -59), (24, -71)],
    -65: [(10, 96.6), (20, 91), (28, 84.5), (36, 75.8), (44, 64), (50.5, 51), (55.5, 36), (59, 21), (60.5, 6),
          (58.5, -12), (55, -28), (48, -45), (38, -57), (20, -66.5)],
    -83: [(10, 92.8), (20, 86.5), (29, 77.5), (37, 66), (44, 52.5), (49, 38), (52.5, 24), (54, 9), (54.5, -6),
          (54.5, -20), (51, -37), (42, -51), (24, -63)],
    -98: [(10, 95), (19, 88), (27, 77.5), (34, 65), (39.5, 51), (43.5, 37), (47, 22), (50, 6), (52, -10), (53, -25),
          (50, -41), (41, -54), (22, -64)],
    -108: [(10, 89.5), (18, 82), (24, 70)],
    -113: [(10, 80), (13, 68), (24, 56), (33, 44), (39, 30), (44.5, 14), (49.5, -4)],
    -126: [(13, 38.5), (26, 33), (37, 23), (46, 10), (52, -6), (54.5, -24), (52, -42), (42, -57), (24, -67)],
    -150: [(14, 35.5), (27, 31), (38, 21.5), (47, 8.5), (53.5, -9), (56.5, -27), (54.5, -46), (45, -61), (26, -71.5)],
    -182: [(15, 28.5), (30, 25), (43, 15.5), (54, 2), (62, -16), (66, -35), (64, -54), (53, -70), (32, -80.5)],
}  # fmt: skip


def control_points() -> Array:
    """Return the (P, 3) control points of the +x half, midline included."""
    rows = [(0.0, y, z) for y, z in _PROFILE_FRONT + _PROFILE_BACK]
    rows += [(x, y, z) for y, section in _SECTIONS.items() for x, z in section]
    return np.array(rows, dtype=np.float64)


def template_radius(directions: Array) -> Array:
    """Radius of the ellipsoid-and-neck template along unit directions (..., 3)."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    head = 1 / np.sqrt((x / 68) ** 2 + (y / 118) ** 2 + (z / 96) ** 2)
    across = np.sqrt((x / 56) ** 2 + ((z - 0.12 * y) / 58) ** 2 + 1e-4)
    neck = 1 / across / (1 + np.exp(12 * (y + 0.45)))
    power = 6.0
    return (head**power + neck**power) ** (1 / power)


@lru_cache(maxsize=1)
def _solve() -> tuple[Array, Array]:
    points = control_points()
    points = np.concatenate([points, (points * [-1, 1, 1])[points[:, 0] > 0]]) - CENTER
    radius = np.linalg.norm(points, axis=1)
    template = template_radius(points / radius[:, None])
    sites = points / radius[:, None] * template[:, None] / 100
    kernel = cdist(sites, sites) ** 3 + 2e-5 * np.eye(len(sites))
    affine = np.column_stack([np.ones(len(sites)), sites])
    system = np.block([[kernel, affine], [affine.T, np.zeros((4, 4))]])
    weights = solve(system, np.concatenate([radius / template, np.zeros(4)]))
    return sites, weights


def base_radius(directions: Array) -> Array:
    """Distance from CENTER to the coarse head along unit directions (M, 3), in millimetres."""
    sites, weights = _solve()
    template = template_radius(directions)
    query = directions * template[:, None] / 100
    count = len(sites)
    ratio = cdist(query, sites) ** 3 @ weights[:count] + weights[count] + query @ weights[count + 1 :]
    return template * ratio
