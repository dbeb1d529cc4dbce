"""The coarse head: cranium, face and neck without nose, lids and lips, as a radius over directions.

Hand-placed anatomical control points (half a head, millimeters, Frankfurt horizontal) are interpolated by a
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
    (105, 30), (98, 47.5), (88, 63), (76, 75.5), (64, 84), (52, 89.8), (40, 93.3), (30, 95), (20, 95.4),
    (12, 91.5), (6, 87), (-5, 84.5), (-14, 85), (-25, 89), (-36, 94.5), (-44, 99), (-51, 99.6), (-58, 99.6),
    (-65.5, 98.8), (-74, 97.2), (-83, 94.6), (-90, 96), (-97, 97), (-104, 95), (-109.5, 89.5), (-112.5, 82),
    (-114, 72), (-115, 62), (-116.5, 52), (-120, 43), (-128, 38), (-140, 36), (-155, 34), (-170, 31),
    (-182, 28),
]  # fmt: skip
# Crown, occiput and nape, (y, z).
_PROFILE_BACK = [
    (109.5, 14), (112, -4), (112, -20), (108.5, -40), (101, -58), (90, -73.5), (75, -86), (58, -94),
    (40, -98), (22, -99), (4, -97), (-14, -92), (-32, -84), (-48, -76), (-64, -69), (-82, -65.5), (-105, -65),
    (-130, -68), (-155, -73.5), (-182, -81),
]  # fmt: skip
# Horizontal sections, y: (x, z) from the front to the back.
_SECTIONS: dict[float, list[tuple[float, float]]] = {
    110: [(13, 3), (16, -12), (13, -28)],
    104: [(16, 28.5), (28.5, 14), (34.3, -9), (31, -34), (17, -50.5)],
    90: [(19.5, 57.5), (36.5, 45), (47, 28.5), (53.2, 7), (54.5, -15), (51, -37), (39.5, -57), (21.5, -70)],
    70: [(20, 77.5), (38, 67), (51, 51), (60.5, 30), (65.6, 6), (67.3, -18), (64, -42), (54, -64), (30, -82)],
    46: [(15, 90.5), (30, 84.5), (42, 75), (51.5, 62), (59, 45), (66, 22), (72, 0), (74.2, -22), (71, -47),
         (60, -70), (40, -88), (20, -95.5)],
    25: [(12, 93.8), (25, 89.9), (37, 83.6), (46, 74.8), (53, 63.5), (59.2, 47), (64.5, 28), (70.5, 5),
         (74, -20), (71, -46), (60, -69), (40, -88), (20, -96)],
    11: [(8, 88.5), (16, 84), (25, 83.2), (35, 81.8), (43, 76.5), (50.5, 66.5), (57.5, 49.2), (63, 32),
         (68.3, 12), (71, -5), (72, -22), (69.5, -46), (59, -69), (39, -87)],
    -1: [(8, 85), (14, 79), (20, 75), (32, 74), (41, 73), (48, 68.2), (57, 50.5), (63.2, 34), (67.2, 18),
         (69.3, 2), (70, -20), (67, -45), (56, -67), (37, -85)],
    -14: [(10, 84), (18, 79.5), (28, 78.5), (38, 76.8), (47, 71.5), (55, 61), (60.2, 47), (65, 33),
          (67.8, 18), (68.3, 4), (67, -20), (63, -44), (52, -65), (34, -81)],
    -28: [(12, 87), (22, 83.5), (32, 80.8), (42, 75.8), (50, 67.5), (56.5, 55.5), (61.2, 42), (64.5, 27),
          (65.8, 12), (65.5, -2), (63, -20), (58, -42), (48, -61), (30, -76)],
    -46: [(10, 96.5), (20, 90.5), (30, 84), (40, 74.5), (47.5, 63.5), (53, 51.5), (57.2, 38), (60.2, 23),
          (61.5, 8), (60.5, -10), (56.5, -28), (51, -45), (41, -59), (24, -71)],
    -65: [(10, 96.6), (20, 91), (28, 84), (36, 74.5), (43, 62.5), (48.5, 50), (51.6, 36), (54.2, 21),
          (55.6, 6), (55.2, -12), (53, -28), (47, -45), (37, -57), (20, -66)],
    -83: [(10, 92.5), (19, 86), (26.7, 77), (33.5, 65.5), (39.3, 52.5), (42.8, 38), (46.0, 23), (48.2, 9),
          (51, -6), (51, -20), (48.5, -37), (41, -51), (23, -62)],
    -98: [(9, 95), (15.5, 89.5), (22, 79.5), (28, 67), (33, 53), (37.2, 38), (41.5, 22), (46.5, 5), (49, -10),
          (50, -25), (47.5, -41), (40, -53.5), (22, -62)],
    -108: [(9, 89.5), (15, 83.5), (20.5, 73)],
    -113: [(9, 80), (13, 68), (22, 55), (30, 43), (36, 29), (41.5, 13), (46, -4)],
    -126: [(13, 37), (25, 31.5), (34.5, 22), (42.5, 10), (48.5, -6), (51, -24), (49, -41), (40, -55),
           (23, -64.5)],
    -150: [(14, 34), (26, 29.5), (36, 20.5), (44.5, 8), (50.5, -9), (53.5, -27), (52, -45), (43, -59),
           (25, -69)],
    -182: [(15, 27.5), (29, 24), (42, 14.5), (52, 1), (59, -16), (62, -35), (60, -53), (50, -68), (31, -78)],
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
    kernel = cdist(sites, sites) ** 3 + 6e-5 * np.eye(len(sites))
    affine = np.column_stack([np.ones(len(sites)), sites])
    system = np.block([[kernel, affine], [affine.T, np.zeros((4, 4))]])
    weights = solve(system, np.concatenate([radius / template, np.zeros(4)]))
    return sites, weights


def base_radius(directions: Array) -> Array:
    """Distance from CENTER to the coarse head along unit directions (M, 3), in millimeters."""
    sites, weights = _solve()
    template = template_radius(directions)
    query = directions * template[:, None] / 100
    count = len(sites)
    ratio = cdist(query, sites) ** 3 @ weights[:count] + weights[count] + query @ weights[count + 1 :]
    return template * ratio
