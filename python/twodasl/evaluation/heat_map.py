"""The error on the face: both meshes, and each true vertex colored by its distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pictures.charts import Page, color_bar, nice_ticks, ramp, style
from ..pictures.render import Image, camera_view, render_mesh
from .reconstruction import ReconstructionError

TURNED = 40.0
"""Degrees by which the face in the last tile is turned, to show nose and cheeks in depth."""

Y_AXES = ("auto", "up", "down")

_TILE, _GAP, _LEFT, _TOP, _BAR = 360, 10, 24, 104, 180  # pixels
_HEADING = 34
_ROW = _TILE + _HEADING + 40
_COLUMNS = (
    "ground truth",
    "prediction, aligned",
    "error on the ground truth",
    f"the same, turned by {TURNED:g}°",
)
_SHADING = 0.5  # weight of the shaded picture; the rest shows the colors exactly as on the bar
_COVERED = 99.0  # percentile of the errors shown at which the color scale ends


@dataclass(frozen=True, eq=False)
class Face:
    """One row of the picture.

    heading: its text. truth: (N, 3). triangles: (T, 3) of the truth. predicted: (P, 3), not aligned.
    predicted_triangles: (S, 3), or None to leave that tile empty. error: the measured error.
    """

    heading: str
    truth: NDArray[np.float64]
    triangles: NDArray[np.int64]
    predicted: NDArray[np.float64]
    predicted_triangles: NDArray[np.int64] | None
    error: ReconstructionError


def heat_map(faces: Sequence[Face], title: str, label: str, y_axis: str = "auto") -> Image:
    """Draw one row per face: the true mesh, the aligned prediction, and the error from two sides.

    The color scale runs from 0 to the 99th percentile of all errors shown, rounded up to a round number, and
    is the same in all rows. title: the first line. label: of the color bar, with its unit; errors are in
    percent of the normalizer. y_axis: which way y grows in the meshes: "up", "down" (image pixels), or
    "auto", determined from the triangles, which are counter-clockwise seen from outside. z grows toward the
    viewer.

    Returns (H, W, 3) uint8 BGR. Raises ValueError if there is no face, or one without triangles.
    """
    if not faces or any(len(face.triangles) == 0 for face in faces):
        raise ValueError("faces: expected at least one, each with triangles")
    if y_axis not in Y_AXES:
        raise ValueError(f"y_axis: expected one of {', '.join(Y_AXES)}, got {y_axis!r}")
    percents = [100 * face.error.relative for face in faces]
    ticks = nice_ticks(float(np.percentile(np.concatenate(percents), _COVERED)), most=5)
    column = _TILE + _GAP
    with style():
        page = Page(_LEFT + 4 * column + _BAR, _TOP + _ROW * len(faces) + 6)
        page.text(_LEFT, 32, title, 15)
        for number, words in enumerate(_COLUMNS):
            page.text(_LEFT + number * column + _TILE / 2, 78, words, 11, "center")
        for row, (face, percent) in enumerate(zip(faces, percents, strict=True)):
            top = _TOP + row * _ROW
            page.text(_LEFT, top + 14, face.heading, 11)
            for number, tile in enumerate(_tiles(face, ramp(percent / ticks[-1]), y_axis)):
                x = _LEFT + number * column
                if tile is None:
                    page.text(x + _TILE / 2, top + _HEADING + _TILE / 2, "(no triangles)", 10, "center")
                else:
                    page.paste(tile, x, top + _HEADING)
        height = _ROW * len(faces) - _HEADING - 40
        color_bar(page.axes(_LEFT + 4 * column + 16, _TOP + _HEADING, 24, height), ticks, label)
        return page.image()


def _tiles(face: Face, colors: NDArray[np.float32], y_axis: str) -> list[Image | None]:
    """The four pictures of a row, all framed by the truth."""
    down = _points_down(face.truth, face.triangles) if y_axis == "auto" else y_axis == "down"
    sign = np.array([1.0, -1.0 if down else 1.0, 1.0])
    truth, found = face.truth * sign, face.error.motion.apply(face.predicted) * sign
    used = truth[np.unique(face.triangles)]
    center = (used.min(0) + used.max(0)) / 2
    span = 1.08 * float(np.ptp(used[:, :2], axis=0).max())

    def shot(
        points: ArrayLike, triangles: ArrayLike, yaw: float, light: str, paint: ArrayLike | None
    ) -> Image:
        view = camera_view(points, _TILE, span, center, yaw)
        return render_mesh(view, triangles, _TILE, light, paint)

    def painted(yaw: float) -> Image:
        flat, lit = (shot(truth, face.triangles, yaw, light, colors) for light in ("flat", "headlight"))
        return np.asarray(cv2.addWeighted(lit, _SHADING, flat, 1 - _SHADING, 0), np.uint8)

    prediction = None
    if face.predicted_triangles is not None:
        prediction = shot(found, face.predicted_triangles, 0, "studio", None)
    return [shot(truth, face.triangles, 0, "studio", None), prediction, painted(0), painted(TURNED)]


def _points_down(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> bool:
    """Whether y grows downward: a mesh of counter-clockwise triangles then encloses a negative volume.

    The volume is measured from a point in the middle of its back, which also works for a face that is open
    behind.
    """
    used = points[np.unique(triangles)]
    origin = (used.min(0) + used.max(0)) / 2
    origin[2] = used[:, 2].min()
    a, b, c = (points[triangles[:, corner]] - origin for corner in range(3))
    return bool((a * np.cross(b, c)).sum() < 0)
