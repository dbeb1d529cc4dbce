"""The mean head: an androgynous adult sculpted in code, as one mirrored triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.builder import HalfMesh, mirrored
from twodasl.morphable.procedural.ears import add_ear
from twodasl.morphable.procedural.eyes import IRIS_ANGLE, PUPIL_ANGLE, add_eyeball, add_socket
from twodasl.morphable.procedural.features.eyes import EYE_CENTER, EYE_RADIUS
from twodasl.morphable.procedural.landmarks import basel_indices, ibug_indices, landmark_indices
from twodasl.morphable.procedural.mouth import add_lips, add_mouth_bag
from twodasl.morphable.procedural.regions import half_regions, whole_regions
from twodasl.morphable.procedural.skin import build_skin


@dataclass(frozen=True)
class Eyeball:
    """A sphere behind the lids. Lengths in mm, angles in radians from the gaze axis (+z) at the center."""

    center: NDArray[np.float64]
    radius: float
    iris_angle: float
    pupil_angle: float


@dataclass(frozen=True)
class HeadMesh:
    """The mean head in model space: millimeters, +x subject's left, +y up, +z toward the viewer.

    vertices (N, 3) float64; triangles (T, 3) int64, counter-clockwise from outside; mirror (N,) int64, the
    vertex at the mirrored position (itself on the midline, where x is exactly 0); landmarks68 (68,) int64
    in iBUG order (image left, the subject's right, first), at the anatomical places; ibug68, basel68: the
    same points where annotators see them, and where the Basel model's vertices mark them, but for those that
    `on_calm_head` finds on the corrected head; skin: the first so many vertices are bare skin of the +x half;
    named: AFLW's
    ``ear_left`` (image left, negative x: bottom of the lobe), ``ear_right``, ``chin``; regions: name ->
    (N,) float64 weights in [0, 1], ``_left`` meaning +x; eyeballs: ``left`` (+x) and ``right``.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    mirror: NDArray[np.int64]
    landmarks68: NDArray[np.int64]
    ibug68: NDArray[np.int64]
    basel68: NDArray[np.int64]
    skin: int
    named: dict[str, int]
    regions: dict[str, NDArray[np.float64]]
    eyeballs: dict[str, Eyeball]


@lru_cache(maxsize=1)
def mean_head() -> HeadMesh:
    """Build the mean head (deterministic, cached in the process; treat the arrays as read-only)."""
    skin = build_skin()
    half = HalfMesh()
    half.add_points(skin.points, "skin")
    half.add_faces(skin.faces)
    add_socket(half, skin.eye)
    add_eyeball(half)
    contact = add_lips(half, skin.border_upper, skin.border_lower)
    add_mouth_bag(half, *contact)
    add_ear(half, skin.ear)
    vertices, triangles, mirror, _ = mirrored(half)
    landmarks, named = landmark_indices(half.vertices(), skin, contact, mirror)
    regions = whole_regions(half_regions(half, len(skin.points)), vertices, mirror)
    flip = np.array([-1.0, 1.0, 1.0])
    eyeballs = {
        side: Eyeball(center, EYE_RADIUS, float(IRIS_ANGLE), float(PUPIL_ANGLE))
        for side, center in (("left", EYE_CENTER), ("right", EYE_CENTER * flip))
    }
    ibug = ibug_indices(half.vertices(), skin, landmarks, mirror)
    basel = basel_indices(half.vertices(), skin, landmarks, mirror)
    marks = (landmarks, ibug, basel)
    return HeadMesh(vertices, triangles, mirror, *marks, len(skin.points), named, regions, eyeballs)
