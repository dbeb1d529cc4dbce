"""The metric of the NoW challenge: how far a scan's points are from the surface of a predicted mesh.

Sanyal et al. (CVPR 2019), section 5, and the evaluation program that its authors published; where the text is
vague the program decides, and what differs from it here is said at `now_error`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arguments import flag
from ..errors import InputError
from ..meshes import Mesh
from .rigid import Motion, Points
from .surface import Surface, lay_on_points

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Of predicted meshes, in millimeters, which are the scans' unit."""

RADIUS = 1.4
"""Of the part of a face that counts, over the mean of the distance of the outer corners of the eyes and that
from the bottom of the nose to between the eyes."""

_UPWARD = 0.3  # of the way from the bottom of the nose to between the eyes, where the part's center is


@dataclass(frozen=True, eq=False)
class NowError:
    """distances: (n,) millimeters of the scan's vertices inside the crop from the mesh. motion: what lays the
    prediction on the scan, a reflection where `mirrored`. iterations, converged: of the refinement."""

    distances: Points
    motion: Motion
    mirrored: bool
    iterations: int
    converged: bool


def face_part(landmarks: Points) -> tuple[Points, float]:
    """Center (3,) and radius of the part of a scan that counts, from its seven landmarks (7, 3)."""
    bottom, between = landmarks[4], (landmarks[1] + landmarks[2]) / 2
    across = float(np.linalg.norm(landmarks[0] - landmarks[3]))
    along = float(np.linalg.norm(between - bottom))
    return bottom + _UPWARD * (between - bottom), RADIUS * (across + along) / 2


def landmark_motion(source: Points, target: Points) -> Motion:
    """The orthogonal map, size and shift of `source` (7, 3) with the least squares to `target` (7, 3).

    Procrustes analysis as the published program does it: a reflection where that is nearer.
    """
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    a, b = source - middle, target - aim
    if min(np.linalg.norm(a), np.linalg.norm(b)) <= 0:
        raise InputError("landmarks: expected seven points that are not one, got them all in one place")
    u, lengths, v = np.linalg.svd(b.T @ a)
    turn = u @ v
    size = float(lengths.sum() / (a**2).sum())
    return Motion(turn, aim - size * turn @ middle, size)


def now_error(
    scan: Points,
    scan_landmarks: Points,
    predicted: Mesh,
    landmarks: Points,
    *,
    metrical: bool = False,
    unit: str = "mm",
) -> NowError:
    """The error of a predicted mesh.

    scan: (N, 3) vertices, millimeters. scan_landmarks, landmarks: (7, 3), see
    `twodasl.datasets.benchmarks.now`. metrical: keep the prediction's size, whose `unit` is one of `UNITS`;
    otherwise its size is fitted too.

    The scan's vertices within `RADIUS` of the middle of the face are kept. The mesh is laid on it by the
    seven landmarks, then moved so that the sum of squared distances of the kept vertices from its surface is
    smallest; the distances that are left are the error. Metrical evaluation fits no size in either step; it
    starts, as the published program does, from the shift that belongs to the fitted size.

    Not as in the program: the optimizer (Levenberg-Marquardt, here ended by a relative gain of 1e-6, there a
    dogleg that ends at 1e-4), and no penalty keeps the size positive, which it is by construction.

    Raises InputError for a mesh without triangles, or where no vertex of the scan is inside the crop.
    """
    if unit not in UNITS:
        raise InputError(f"unit: expected one of {', '.join(UNITS)}, got {unit!r}")
    rigid = flag(metrical, "metrical")
    center, radius = face_part(scan_landmarks)
    kept = scan[np.linalg.norm(scan - center, axis=1) <= radius]
    if not len(kept):
        raise InputError(
            f"scan: expected vertices within {radius:.3g} of the middle of the face, got none; its landmarks"
            " belong to another scan"
        )
    surface = Surface(predicted.vertices, predicted.triangles, "prediction")
    start = landmark_motion(landmarks, scan_landmarks)
    if rigid:
        start = Motion(start.rotation, start.translation, UNITS[unit])
    fit = lay_on_points(surface, kept, start, scale=not rigid)
    mirrored = bool(np.linalg.det(fit.motion.rotation) < 0)
    return NowError(fit.distances, fit.motion, mirrored, fit.iterations, fit.converged)
