"""Which part of a head is its face: what a picture shows, fading toward skull and neck."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

# In widths of the jaw: the hairline above the brows, how far a face fades beyond its border, how far behind
# the ends of the jaw it reaches, and over what length it fades there.
_HAIRLINE, _FADE, _BACK, _BACK_FADE = 0.42, 0.06, 0.02, 0.10
_STEPS = 200  # a width of the jaw in pixels of the map of distances
_ARC = 24  # corners of the border between the ends of the jaw, over the forehead


def face_share(mean: ArrayLike, landmarks: NDArray[np.int64]) -> Floats:
    """How far each vertex of a face model belongs to the face, (N,) from 0 to 1.

    The face is what lies within the jaw's landmarks and an arc over the forehead, seen from the front, and
    not behind the jaw's ends; ears, skull and neck are outside. A model of the face alone is nearly all face.

    Args:
        mean: (N, 3), +x to the right of the image of a frontal face, +y up, +z toward the viewer.
        landmarks: (68,) indices of the iBUG points.
    """
    points = np.asarray(mean, np.float64)
    marks = points[landmarks]
    width = float(np.abs(marks[16, 0] - marks[0, 0]))
    if not width > 0:
        return np.ones(len(points), np.float32)
    low = marks[:17].min(axis=0)[:2] - width / 2
    border = (np.concatenate([marks[:17, :2], _forehead(marks, width)]) - low) / width * _STEPS
    extent = np.ceil(border.max(axis=0)).astype(int) + _STEPS // 2
    inside = cv2.fillPoly(np.zeros((extent[1], extent[0]), np.uint8), [np.rint(border).astype(np.int32)], 1)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) / (_STEPS * _FADE)
    column, row = np.rint((points[:, :2] - low) / width * _STEPS).astype(int).T
    on_map = (column >= 0) & (row >= 0) & (column < extent[0]) & (row < extent[1])
    beside = np.full(len(points), np.inf)
    beside[on_map] = away[row[on_map], column[on_map]]
    ends = min(marks[0, 2], marks[16, 2]) - _BACK * width
    behind = (ends - points[:, 2]) / (_BACK_FADE * width)
    return _fall(beside) * _fall(behind)


def _forehead(marks: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """The border from the left end of the jaw (point 16) over the forehead to the right one (point 0)."""
    top = float(marks[17:27, 1].max()) + _HAIRLINE * width
    middle = (marks[0, :2] + marks[16, :2]) / 2
    angle = np.linspace(0, np.pi, _ARC + 2)[1:-1]
    half = (marks[16, 0] - marks[0, 0]) / 2
    # Fuller than an ellipse: temples are straight.
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7
    return np.column_stack([middle[0] + half * across, middle[1] + (top - middle[1]) * np.sin(angle) ** 0.7])


def _fall(value: NDArray[np.float64]) -> Floats:
    """1 up to 0, 0 from 1 on, smooth between."""
    t = np.clip(value, 0, 1)
    return (1 - t * t * (3 - 2 * t)).astype(np.float32)
