"""Lips, brows, eyes, beard, and scalp on a face model: weights per vertex, from its 68 landmarks.

Only the landmarks are assumed, so any model can be painted. Angles are around the vertical axis through the
middle of the head: azimuth 0 is the front, positive toward +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..morphable import MorphableModel

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Regions:
    """Soft masks (N,) in [0, 1]."""

    lips: Floats
    brows: Floats
    eyes: Floats
    """The opening between the lids."""
    sockets: Floats
    """Around the eyes: shadow, makeup, tiredness."""
    beard: Floats
    cheeks: Floats
    scalp: Floats
    tip: Floats
    """Nose and ears, redder than the rest."""
    inner: tuple[tuple[str, NDArray[np.int64]], ...]
    """Loose parts of the mesh inside the head: ("eyeball" or "mouth", vertex indices)."""
    front: Floats
    """The face itself, over which exposure is measured."""


def head_center(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Middle of the head (3,) from 68 landmarks: between the ears, slightly above the eyes."""
    points = np.asarray(points, np.float64)
    unit = np.linalg.norm(points[36] - points[45])
    depth = (points[0, 2] + points[16, 2]) / 2 - 0.08 * unit
    return np.array([(points[0, 0] + points[16, 0]) / 2, points[27, 1] + 0.15 * unit, depth])


def find_regions(model: MorphableModel) -> Regions:
    """Paints the mean shape."""
    mean = model.mean.astype(np.float64)
    points = mean[model.landmarks]
    unit = float(np.linalg.norm(points[36] - points[45]))  # outer eye corners: 85 to 95 mm in adults
    center = head_center(points)
    facing = _step((mean[:, 2] - center[2]) / unit, 0.1, 0.3)
    azimuth = np.arctan2(mean[:, 0] - center[0], mean[:, 2] - center[2])
    lips = _polygon(mean, points[48:60], 0.02 * unit)
    mouth_depth = points[60:68, 2].min() - 0.06 * unit
    lips *= facing * _step(mean[:, 2] - mouth_depth, -0.03 * unit, 0.0)
    brows = np.maximum(_stroke(mean, points[17:22], 0.045 * unit), _stroke(mean, points[22:27], 0.045 * unit))
    eyes = np.maximum(
        _polygon(mean, points[36:42], 0.012 * unit), _polygon(mean, points[42:48], 0.012 * unit)
    )
    lid_depth = points[36:48, 2].min() - 0.15 * unit
    eyes *= _step(mean[:, 2] - lid_depth, -0.03 * unit, 0.0)
    middle = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    sockets = np.maximum(*(_ball(mean, eye, 0.26 * unit) for eye in middle)) * facing
    cheek = [
        0.5 * points[k] + 0.3 * points[lip] + 0.2 * points[31 + m] for k, lip, m in ((2, 48, 0), (14, 54, 4))
    ]
    cheeks = np.maximum(*(_ball(mean, spot, 0.3 * unit) for spot in cheek)) * facing
    tip = _ball(mean, points[30], 0.16 * unit)
    ears = _step(np.abs(azimuth), 1.25, 1.45) * _step(-np.abs(azimuth), -2.1, -1.9)
    ears *= _step(
        np.abs(mean[:, 0] - center[0]), 0.98 * abs(points[16, 0] - center[0]), 1.05 * abs(points[16, 0])
    )
    front = facing * _step(-np.abs(azimuth), -1.1, -0.9)
    front *= _step(points[8, 1] - mean[:, 1], 0.1 * unit, 0.0) * _step(
        mean[:, 1] - points[19, 1], 0.5 * unit, 0.2 * unit
    )
    inner = tuple(_inner_parts(model, points, unit))
    return Regions(
        lips=lips.astype(np.float32),
        brows=(brows * facing).astype(np.float32),
        eyes=eyes.astype(np.float32),
        sockets=sockets.astype(np.float32),
        beard=_beard(mean, points, azimuth, center, unit, lips),
        cheeks=cheeks.astype(np.float32),
        scalp=_scalp(mean, points, azimuth, unit, ears),
        tip=np.maximum(tip, 0.7 * ears).astype(np.float32),
        inner=inner,
        front=front.astype(np.float32),
    )


def hairline_height(azimuth: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Height y (mm) of the natural hairline around the head; symmetric.

    According to the facial thirds, it is as far above the brows in front as the base of the nose is below
    them (Farkas, Anthropometry of the Head and Face, 1994).
    """
    brow = float(points[17:27, 1].mean())
    third = brow - float(points[33, 1])
    front = brow + 0.95 * third
    eye, nose = float(points[36:48, 1].mean()), float(points[33, 1])
    knots = np.array([0.0, 0.45, 0.75, 1.0, 1.25, 1.5, 1.75, 2.2, np.pi])
    heights = [front, front, brow + 0.7 * third, brow + 0.25 * third, eye - 0.1 * third, eye + 0.1 * third]
    heights += [eye, nose + 0.3 * third, nose - 0.1 * third]
    return np.interp(np.abs(azimuth), knots, heights)


def _scalp(
    mean: NDArray[np.float64],
    points: NDArray[np.float64],
    azimuth: NDArray[np.float64],
    unit: float,
    ears: NDArray[np.float64],
) -> Floats:
    above = (mean[:, 1] - hairline_height(azimuth, points)) / unit
    return (_step(above, -0.06, 0.08) * (1 - ears)).astype(np.float32)


def _beard(
    mean: NDArray[np.float64],
    points: NDArray[np.float64],
    azimuth: NDArray[np.float64],
    center: NDArray[np.float64],
    unit: float,
    lips: NDArray[np.float64],
) -> Floats:
    """Mustache, chin, jaw and sideburns, in the plane of azimuth and height."""

    def unrolled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        angle = np.arctan2(rows[:, 0] - center[0], rows[:, 2] - center[2])
        return np.stack([angle * 0.8 * unit, rows[:, 1]], axis=1)

    jaw = unrolled(points[1:16])
    jaw[2:-2, 1] -= 0.25 * unit  # under the jaw
    inner = np.stack(
        [
            (points[15] * 3 + points[54]) / 4,
            (points[12] + points[54]) / 2,
            points[35] + [0.06 * unit, 0, 0],
            points[33],
            points[31] - [0.06 * unit, 0, 0],
            (points[4] + points[48]) / 2,
            (points[1] * 3 + points[48]) / 4,
        ]
    )
    outline = np.concatenate([jaw, unrolled(inner)])
    flat = np.stack([azimuth * 0.8 * unit, mean[:, 1]], axis=1)
    weight = _signed_distance(flat, outline)
    soft = _step(weight, -0.06 * unit, 0.1 * unit) * (1 - np.clip(1.5 * lips, 0, 1))
    soft *= _step(mean[:, 2] - center[2], -0.1 * unit, 0.05 * unit)
    return soft.astype(np.float32)


def _inner_parts(
    model: MorphableModel, points: NDArray[np.float64], unit: float
) -> list[tuple[str, NDArray[np.int64]]]:
    """Connected parts without any of the 68 landmarks, behind an eye or the mouth."""
    a, b, c = model.triangles.T
    start, end = np.concatenate([a, b]), np.concatenate([b, c])
    count = len(model.mean)
    graph = sparse.coo_matrix((np.ones(len(start)), (start, end)), shape=(count, count))
    parts, label = connected_components(graph, directed=False)
    outer = set(label[model.landmarks].tolist())
    middle = {
        "eyeball": [points[36:42].mean(axis=0), points[42:48].mean(axis=0)],
        "mouth": [points[60:68].mean(axis=0)],
    }
    found = []
    for part in range(parts):
        members = np.flatnonzero(label == part)
        if part in outer or len(members) < 8:
            continue
        spot = model.mean[members].mean(axis=0)
        for kind, places in middle.items():
            if min(np.linalg.norm(spot - place) for place in places) < 0.45 * unit:
                found.append((kind, members))
                break
    return found


def _step(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _ball(mean: NDArray[np.float64], center: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    return np.exp(-2 * ((mean - center) ** 2).sum(axis=1) / radius**2)


def _polygon(mean: NDArray[np.float64], outline: NDArray[np.float64], softness: float) -> NDArray[np.float64]:
    """1 inside an outline seen from the front."""
    near = np.abs(mean[:, 2] - outline[:, 2].mean()) < 0.4 * np.ptp(outline[:, 0]) + 20
    weight = np.zeros(len(mean))
    weight[near] = _step(_signed_distance(mean[near, :2], outline[:, :2]), -softness, softness)
    return weight


def _signed_distance(points: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (M,) to a polygon in the plane, positive inside."""
    contour = outline.astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in points])


def _stroke(mean: NDArray[np.float64], line: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Gaussian around a polyline in space."""
    nearest = np.full(len(mean), np.inf)
    for start, end in pairwise(line):
        along = end - start
        t = np.clip((mean - start) @ along / max(float(along @ along), 1e-9), 0, 1)
        nearest = np.minimum(nearest, ((mean - start - t[:, None] * along) ** 2).sum(axis=1))
    return np.exp(-nearest / (2 * width**2) * 2)
