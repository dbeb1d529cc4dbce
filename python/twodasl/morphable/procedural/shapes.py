"""Small vocabulary for sculpting with distance fields: blends, falloffs, ellipsoids, capsules, strokes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]


def smooth_min(a: Array, b: Array, k: float | Array) -> Array:
    """Polynomial smooth minimum: the union of two fields, rounded over a distance ``k`` (mm)."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * h * k / 6.0


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Quintic step from 0 at ``low`` to 1 at ``high``; two continuous derivatives."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * t * (t * (6 * t - 15) + 10)


def bell(value: Array, width: float | Array) -> Array:
    """Gaussian of standard deviation ``width``."""
    return np.exp(-0.5 * (value / width) ** 2)


def curve(knots: Sequence[tuple[float, float]]) -> PchipInterpolator:
    """Monotone cubic through (abscissa, value) knots; callers clip the abscissa where they need to."""
    table = np.array(knots, dtype=np.float64)
    return PchipInterpolator(table[:, 0], table[:, 1], extrapolate=True)


def frame(pitch: float, yaw: float, roll: float) -> Array:
    """Rotation matrix (rows are local axes) from angles in degrees about x, then y, then z."""
    a, b, c = np.radians([pitch, yaw, roll])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray((rz @ ry @ rx).T, dtype=np.float64)


def ellipsoid(p: Array, center: Sequence[float], radii: Sequence[float], axes: Array | None = None) -> Array:
    """Approximate signed distance to an ellipsoid; ``axes`` has the local axes as rows."""
    q = p - np.asarray(center)
    if axes is not None:
        q = q @ axes.T
    r = np.asarray(radii)
    k0 = np.sqrt(((q / r) ** 2).sum(-1))
    k1 = np.sqrt(((q / r**2) ** 2).sum(-1))
    return np.asarray(k0 * (k0 - 1) / np.maximum(k1, 1e-9), dtype=np.float64)


def round_chain(p: Array, spine: Sequence[Sequence[float]], k: float) -> Array:
    """Signed distance to tapered capsules along ``spine`` (x, y, z, radius), blended over ``k``."""
    nodes = np.asarray(spine, dtype=np.float64)
    result: Array | None = None
    for a, b in pairwise(nodes):
        axis = b[:3] - a[:3]
        t = np.clip((p - a[:3]) @ axis / (axis @ axis), 0.0, 1.0)
        d = np.linalg.norm(p - (a[:3] + t[:, None] * axis), axis=1) - (a[3] + t * (b[3] - a[3]))
        result = d if result is None else smooth_min(result, d, k)
    assert result is not None
    return result


def stroke(p: Array, path: Sequence[Sequence[float]], spread: float = 1.0) -> Array:
    """Brush along a polyline in the front view, in mm of outward offset.

    ``path`` rows are (x, y, width, height): a Gaussian of that width across and a smooth interpolation along.
    Distances are measured in the (x, y) plane. Negative heights carve.
    """
    nodes = np.asarray(path, dtype=np.float64)
    result = np.zeros(len(p))
    # A bell is nothing beyond 3.7 widths: most points need no more than this box test.
    margin = 3.7 * spread * nodes[:, 2].max()
    low, high = nodes[:, :2].min(axis=0) - margin, nodes[:, :2].max(axis=0) + margin
    near = (p[:, 0] > low[0]) & (p[:, 0] < high[0]) & (p[:, 1] > low[1]) & (p[:, 1] < high[1])
    if not near.any():
        return result
    xy = p[near, :2]
    best = np.full(len(xy), np.inf)
    width = np.ones(len(xy))
    height = np.zeros(len(xy))
    for a, b in pairwise(nodes):
        axis = b[:2] - a[:2]
        t = np.clip((xy - a[:2]) @ (axis / (axis @ axis)), 0.0, 1.0)
        offset = xy - a[:2] - t[:, None] * axis
        d = offset[:, 0] ** 2 + offset[:, 1] ** 2
        closer = d < best
        best = np.where(closer, d, best)
        width = np.where(closer, a[2] + t * (b[2] - a[2]), width)
        height = np.where(closer, a[3] + t * (b[3] - a[3]), height)
    result[near] = height * np.exp(-0.5 * best / (width * spread) ** 2)
    return result
