"""The error of a reconstructed 3D face: rigid alignment, then distances over the size of the true face.

Tu et al., 2DASL (arXiv 1903.09359): the prediction is laid on the ground truth by iterative closest points,
and the distances are normalized by the ground truth's bounding box. Its text pairs nearest points; the
program that its authors published pairs points of one index. The two give different numbers: both are here,
by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import flag
from ..errors import InputError
from .rigid import (
    Motion,
    NearestPoints,
    Points,
    best_motion,
    closest_start,
    horn_rotation,
    iterative_closest_points,
    nearest,
)

PROTOCOLS = ("nearest", "authors-matlab")
"""The names of the protocols, the default first."""

ALIGNED_VERTICES = 10_000
"""`nearest` aligns with at most so many of the truth's vertices, evenly taken; it measures at all of them."""

AUTHORS_STEP = 50
"""`authors-matlab` takes each 50th vertex of both meshes, the first one included."""

AUTHORS_TOLERANCE = 0.01
"""`authors-matlab` stops when the mean squared distance changes by no more; in squared units of the meshes,
which are image pixels in the authors' data."""

_LARGEST = 1e100  # coordinates beyond this are a damaged file; their squares would overflow
_AUTHORS_LIMIT = 1000  # the authors' program has none; the mean squared distance cannot rise, so it ends


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """The error of one face. N vertices in the ground truth.

    protocol: which one measured it. distances: (N,) float64, of every true vertex to its counterpart in the
    aligned prediction, in the meshes' units. counted: (n,) int64, the vertices whose mean is the error.
    normalizer: sqrt(w * h) of the truth's box in x and y, in the meshes' units. motion: what lays the
    prediction on the truth. iterations, converged: of the alignment.
    """

    protocol: str
    distances: NDArray[np.float64]
    counted: NDArray[np.int64]
    normalizer: float
    motion: Motion
    iterations: int
    converged: bool

    @property
    def mean_distance(self) -> float:
        """Mean distance of the counted vertices, in the meshes' units."""
        return float(self.distances[self.counted].mean())

    @property
    def nme(self) -> float:
        """Mean distance over the normalizer, a fraction (0.03 is the 3 % of a table)."""
        return self.mean_distance / self.normalizer

    @property
    def relative(self) -> NDArray[np.float64]:
        """(N,) distance of every vertex over the normalizer, fractions: what a heat-map shows."""
        return self.distances / self.normalizer


def reconstruction_error(
    predicted: ArrayLike, truth: ArrayLike, *, protocol: str = "nearest", scale: bool = False
) -> ReconstructionError:
    """The error of predicted vertices (P, 3) against true ones (N, 3).

    Units: any, the same for both meshes unless `scale`; both in axes of one handedness, z along the view. The
    error is a fraction of `sqrt(w * h)`, w and h the extents in x and y of the whole ground truth as it is
    given, before any rotation.

    protocol:
        "nearest": the paper's text. Iterative closest points, rigid, from the nearest of these starts: as the
        meshes are; centroid on centroid; and, if both have as many vertices, vertex i on vertex i. Pairs are
        each true vertex (every k-th, so that at most `ALIGNED_VERTICES` are used) with its nearest predicted
        one, so that a prediction may be larger than the truth (a head, a face). It ends when the root mean
        square distance falls by no more than 1e-5 of itself, or after 100 iterations. The error is the mean
        over all true vertices of the distance to the nearest predicted vertex (a vertex, not a point of a
        triangle). Vertex counts and triangles may differ; a prediction with far denser vertices gains a
        little.

        "authors-matlab": the published evaluation program. Vertices 0, 50, 100, ... of both meshes; in each
        iteration both clouds are centered on their own centroids, each true point is paired with its nearest
        predicted one, and the prediction is turned by Horn's quaternion; no scale. It ends after the first
        iteration whose mean squared distance, taken before its turn, differs by at most `AUTHORS_TOLERANCE`
        from that of the iteration before (from 0 at first). The error is the mean over the vertices taken of
        the distance to the predicted vertex *of the same index*. `distances` holds all N vertices under
        the same motion; N = P is required.
    scale: with "nearest" only, also fit the prediction's size, which hides an error of size.

    Raises ValueError for an unknown protocol or `scale` with "authors-matlab", InputError (a ValueError) for
    meshes that do not fit: not (N, 3), not finite, no extent in x or y, or differing counts where indices
    count.
    """
    check_protocol(protocol, scale)
    found, true = _points("prediction", predicted), _points("ground truth", truth)
    size = np.ptp(true[:, :2], axis=0)
    normalizer = float(np.sqrt(size[0]) * np.sqrt(size[1]))
    if normalizer <= 0:
        raise InputError(
            f"ground truth: expected a mesh with an extent in x and y, got {size[0]} x {size[1]}"
        )
    if protocol == "authors-matlab":
        return _authors_matlab(found, true, normalizer)
    return _nearest(found, true, normalizer, scale)


def check_protocol(protocol: str, scale: bool) -> None:
    """Raise ValueError for an unknown protocol, or one with which no size can be fitted."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if flag(scale, "scale") and protocol == "authors-matlab":
        raise ValueError("scale: the protocol 'authors-matlab' has none; use 'nearest'")


def _nearest(found: Points, true: Points, normalizer: float, scale: bool) -> ReconstructionError:
    step = -(-len(true) // ALIGNED_VERTICES)
    starts = _starts(true, found, scale)
    start = closest_start(true[::step], found, starts)
    fit = iterative_closest_points(true[::step], found, start, scale=scale)
    motion = fit.motion.inverse()  # the truth was moved onto the prediction: its vertices choose the pairs
    distances, _ = nearest(true, motion.apply(found))
    every = np.arange(len(true))
    return ReconstructionError("nearest", distances, every, normalizer, motion, fit.iterations, fit.converged)


def _starts(true: Points, found: Points, scale: bool) -> list[Motion]:
    """Motions of the truth from which the alignment may begin."""
    size = 1.0
    if scale:
        spreads = [float(np.linalg.norm(points.std(0))) for points in (found, true)]
        size = spreads[0] / spreads[1] if min(spreads) > 0 else 1.0
    still = np.eye(3)
    starts = [Motion(still, np.zeros(3)), Motion(still, found.mean(0) - size * true.mean(0), size)]
    if len(found) == len(true):
        starts.append(best_motion(true, found, scale))
    return starts


def _authors_matlab(found: Points, true: Points, normalizer: float) -> ReconstructionError:
    if len(found) != len(true):
        raise InputError(
            f"prediction: has {len(found)} vertices and the ground truth {len(true)}; the protocol"
            " 'authors-matlab' compares vertex i with vertex i and needs as many in both: use 'nearest'"
        )
    counted = np.arange(0, len(true), AUTHORS_STEP)
    middle, aim = found[counted].mean(0), true[counted].mean(0)
    # Both centroids stay where they are: a turn about the prediction's leaves it there.
    fixed, moving = true[counted] - aim, found[counted] - middle
    turn, before, iterations, converged = np.eye(3), 0.0, 0, False
    while not converged and iterations < _AUTHORS_LIMIT:
        iterations += 1
        distances, indices = NearestPoints(moving)(fixed)
        error = float((distances**2).mean())
        # Without the matched points' own centroid: subtracting it changes nothing, since `fixed` has none.
        step = horn_rotation(moving[indices], fixed)
        moving, turn = moving @ step.T, step @ turn
        converged, before = abs(error - before) <= AUTHORS_TOLERANCE, error
    motion = Motion(turn, aim - turn @ middle)
    distances = np.linalg.norm(motion.apply(found) - true, axis=1)
    return ReconstructionError(
        "authors-matlab", distances, counted, normalizer, motion, iterations, converged
    )


def _points(name: str, value: ArrayLike) -> Points:
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError(f"{name}: expected (N, 3) vertices, got {points.shape}")
    fits = (np.abs(points) < _LARGEST).all(axis=1)  # also false for NaN
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise InputError(f"{name}: expected finite vertices, got {points[row]} in vertex {row}")
    return points
