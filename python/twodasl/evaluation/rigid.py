"""Laying one point cloud on another: Horn's rotation, nearest points, iterative closest points.

Searches are `twodasl_ext`'s, exact and in float64; this module speaks numpy to those who measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..arguments import flag

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """x -> scale * rotation x + translation. rotation: (3, 3), determinant 1. translation: (3,)."""

    rotation: Points
    translation: Points
    scale: float = 1.0

    def apply(self, points: Points) -> Points:
        """Points (N, 3) moved."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> Motion:
        """The motion back."""
        back = self.rotation.T
        return Motion(back, -(back @ self.translation) / self.scale, 1 / self.scale)


@dataclass(frozen=True, eq=False)
class Fit:
    """Where iterative closest points ended.

    rmse: root mean square distance of the pairs, in the target's units. iterations: done. converged:
    whether they ended before the limit.
    """

    motion: Motion
    rmse: float
    iterations: int
    converged: bool


def nearest(query: Points, points: Points) -> tuple[Points, NDArray[np.int64]]:
    """Euclidean distance (M,) and index (M,) of the nearest of `points` (P, 3) to each of `query` (M, 3)."""
    return NearestPoints(points)(query)


class NearestPoints:
    """Answers `nearest` for many queries against the same points (P, 3)."""

    def __init__(self, points: Points) -> None:
        self._index = twodasl_ext.PointIndex(_tensor(points))

    def __call__(self, query: Points) -> tuple[Points, NDArray[np.int64]]:
        squared, indices = twodasl_ext.nearest_neighbors(_tensor(query), self._index)
        return squared.sqrt().numpy(), indices.numpy()


def horn_rotation(source: Points, target: Points) -> Points:
    """The rotation R (3, 3) with the least sum of ||R source_i - target_i||^2, for clouds (N, 3) of one order
    about their own centroids, which need not be subtracted.

    Horn 1987, "Closed-form solution of absolute orientation using unit quaternions": the quaternion is the
    eigenvector of the largest eigenvalue of a symmetric 4 x 4 matrix of the clouds' covariance. Never a
    reflection; for clouds that do not fix a rotation (points on a line), one of the best ones.
    """
    s = (source - source.mean(0)).T @ (target - target.mean(0))
    z = np.array([s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]])
    n = np.empty((4, 4))
    n[0, 0], n[0, 1:], n[1:, 0] = np.trace(s), z, z
    n[1:, 1:] = s + s.T - np.trace(s) * np.eye(3)
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def best_motion(source: Points, target: Points, scale: bool = False) -> Motion:
    """The motion of `source` (N, 3) with the least squares to `target` (N, 3), point i to point i.

    With `scale`, Umeyama's factor: the covariance along the found rotation over the source's variance.
    """
    rotation = horn_rotation(source, target)
    middle, aim = source.mean(0), target.mean(0)
    turned = (source - middle) @ rotation.T
    factor = 1.0
    if flag(scale, "scale"):
        variance = float((turned**2).sum())
        factor = max(float((turned * (target - aim)).sum()) / variance, 1e-9) if variance > 0 else 1.0
    return Motion(rotation, aim - factor * rotation @ middle, factor)


def closest_start(source: Points, target: Points, starts: Sequence[Motion]) -> Motion:
    """The start that brings the source nearest to the target, in mean square distance over its scale."""
    search = NearestPoints(target)
    costs = [float((search(start.apply(source))[0] ** 2).mean()) / start.scale**2 for start in starts]
    return starts[int(np.argmin(costs))]


def iterative_closest_points(
    source: Points,
    target: Points,
    start: Motion,
    *,
    scale: bool = False,
    max_iterations: int = 100,
    tolerance: float = 1e-5,
) -> Fit:
    """Move `source` (N, 3) from `start` onto `target` (P, 3), each point to its nearest, again and again.

    Point-to-point, all points alike (none trimmed), rotation, translation and, with `scale`, size. It ends
    when the root mean square distance falls by no more than the part `tolerance` of itself. See
    `twodasl_ext.iterative_closest_point`; the motion returned is the best one met.
    """
    begin = (_tensor(start.rotation), _tensor(start.translation), torch.tensor(start.scale).double())
    found = twodasl_ext.iterative_closest_point(
        _tensor(source),
        _tensor(target),
        scale=scale,
        max_iterations=max_iterations,
        tolerance=tolerance,
        initialize=begin,
    )
    motion = Motion(found.rotation.numpy(), found.translation.numpy(), float(found.scale))
    return Fit(motion, float(found.rmse), int(found.iterations), bool(found.converged))


def _tensor(array: Points) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float64))
