"""The metric of REALY: each region of a scan against the predicted mesh, aligned for that region alone.

Chai et al. (ECCV 2022), section 4, and the evaluation program that its authors published, whose constants
these are. `nonrigid.py` has the deformation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..meshes import Mesh
from .nonrigid import deformed
from .rigid import Motion, Points, nearest
from .surface import Surface

_EYES = [*range(36, 48)]
_MOUTH = [*range(48, 61), 64]
ALIGNED_BY = {
    "nose": [*range(27, 36), 70, 71],
    "mouth": _MOUTH,
    "forehead": [*_EYES, *range(17, 27)],
    "cheek": [*_MOUTH, 76, 77, 36, 41, 40, 39, 42, 47, 46, 45, 7, 8, 9],
}
"""The keypoints, from 0, that align the mesh with each region."""

DEFORMED_BY = {"nose": [*range(27, 36)], "mouth": _MOUTH, "forehead": ALIGNED_BY["forehead"], "cheek": []}
"""The keypoints that the deformation of each region is led by."""

SEVEN = [36, 39, 42, 45, 33, 48, 54]
"""The keypoints of the first alignment, of the whole mesh."""

_CHEEK_SHARE = 4  # the cheek's keypoints count a quarter
_ITERATIONS, _STILL = 100, 1e-6


@dataclass(frozen=True, eq=False)
class RegionError:
    """distances: (n,) of each vertex of the scan's region to its counterpart on the mesh, in the scan's
    units. motion: what laid the mesh on the region. iterations: of that."""

    distances: Points
    motion: Motion
    iterations: int

    @property
    def mean(self) -> float:
        """The benchmark's error, which it calls NMSE: the mean distance."""
        return float(self.distances.mean())


def region_errors(
    vertices: Points,
    mesh: Mesh,
    keypoints: Points,
    regions: Mapping[str, Mesh],
    true_keypoints: Points,
) -> dict[str, RegionError]:
    """The errors of a mesh.

    vertices: (N, 3), mesh: its triangles, keypoints: (85, 3) on it. regions: of the scan, true_keypoints:
    (85, 3), in the scan's units. Units of the prediction are free: the first alignment fits its size.

    1. Seven keypoints: rotation, translation and size, the size as the program has it, by sums of absolute
       coordinates.
    2. For each region: rotation and translation, by the region's vertices, each to the nearest point of the
       surface, and its keypoints, together as heavy as the vertices (a quarter of that for the cheek).
    3. The region is deformed onto its nearest points.
    4. Each vertex of the region has as its counterpart the point of the mesh nearest to where it was deformed
       to; the error is the mean distance from where it was.
    """
    start = _first_motion(keypoints[SEVEN], true_keypoints[SEVEN])
    placed, marks = start.apply(vertices), start.apply(keypoints)
    found = {}
    for name, region in regions.items():
        own = ALIGNED_BY[name]
        share = 1 / _CHEEK_SHARE if name == "cheek" else 1.0
        surface = Surface(placed, mesh.triangles, "prediction")
        motion, iterations = _region_motion(surface, region.vertices, marks[own], true_keypoints[own], share)
        aligned = Surface(motion.apply(placed), mesh.triangles, "prediction")
        points, triangles = _merged(region)
        counterparts, _ = aligned.nearest(points)
        led = DEFORMED_BY[name]
        handles = nearest(true_keypoints[led], points)[1] if led else np.zeros(0, np.int64)
        moved = deformed(points, triangles, counterparts, handles, motion.apply(marks[led]))
        final, _ = aligned.nearest(moved)
        distances = np.linalg.norm(final - points, axis=1)
        found[name] = RegionError(distances, motion, iterations)
    return found


def _merged(region: Mesh) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and triangles of a region, equal vertices being one and those without a triangle left out."""
    if region.triangles is None:
        raise InputError("region: expected a mesh with triangles, got points only")
    points, index = np.unique(region.vertices, axis=0, return_inverse=True)
    triangles = index.reshape(-1)[region.triangles]
    used, numbers = np.unique(triangles, return_inverse=True)
    return points[used], numbers.reshape(-1, 3)


def _first_motion(source: Points, target: Points) -> Motion:
    """Rotation and translation with the least squares, and a size of absolute sums."""
    rotation = _rotation(source, target)
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    size = np.abs(target - aim).sum() / np.abs((source - middle) @ rotation.T).sum()
    return Motion(rotation, aim - size * rotation @ middle, float(size))


def _rotation(source: Points, target: Points) -> Points:
    u, _, v = np.linalg.svd((target - target.mean(axis=0)).T @ (source - source.mean(axis=0)))
    return u @ v


def _region_motion(
    surface: Surface, region: Points, marks: Points, true_marks: Points, share: float
) -> tuple[Motion, int]:
    """Iterative closest points of the surface to a region and its keypoints.

    Each keypoint counts as often as makes them as many as the region's vertices, times `share`. It ends when
    the mean squared distance changes by less than 1e-6, or after 100 iterations; the last turn is not done,
    as in the program.
    """
    repeats = int(len(region) / len(marks) * share)
    weights = np.concatenate([np.ones(len(region)), np.full(len(marks), float(repeats))])
    target = np.concatenate([region, true_marks])
    motion, before = Motion(np.eye(3), np.zeros(3)), 0.0
    for iteration in range(_ITERATIONS + 1):
        closest = motion.apply(surface.nearest(motion.inverse().apply(region))[0])
        source = np.concatenate([closest, motion.apply(marks)])
        step = _weighted_motion(source, target, weights)
        error = float(weights @ ((step.apply(source) - target) ** 2).sum(axis=1) / weights.sum())
        if abs(error - before) < _STILL or iteration == _ITERATIONS:
            break
        before = error
        motion = Motion(
            step.rotation @ motion.rotation, step.rotation @ motion.translation + step.translation
        )
    return motion, iteration


def _weighted_motion(source: Points, target: Points, weights: Points) -> Motion:
    total = weights.sum()
    middle, aim = weights @ source / total, weights @ target / total
    u, _, v = np.linalg.svd((target - aim).T @ ((source - middle) * weights[:, None]))
    return Motion(u @ v, aim - u @ v @ middle)
