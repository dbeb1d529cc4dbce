"""The bounded least squares behind `to_arkit`, prepared once for a face model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model import MorphableModel

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

RIDGE = 3e-3
"""What a squared weight costs where the displacement of every vertex is known: next to nothing, enough to
keep similar shapes from canceling each other."""

MODES_RIDGE = 0.1
"""The same for coefficients of fewer modes than there are shapes. They say less than 52 weights: many
mixtures explain them alike, and the smaller weights are the likelier ones."""

# Millimeters from the landmarks of brows, eyes and mouth within which the face counts in full, and how much
# of that it counts elsewhere. Small movements there are the expression; cheeks and neck only follow.
REACH, ELSEWHERE = 14.0, 0.1
FEATURES = np.r_[17:27, 36:68]


class Projection:
    """Finds the weights of blend shapes that explain displacements of a model's vertices best.

    With A the shapes, |.|_W a norm in which vertices have weights, a_k = |A_k|_W and m their median,
    minimizes |A w - d|_W^2 + ridge m sum_k a_k w_k^2 over 0 <= w <= 1. A ridge of a_k^2 would make large
    shapes dear and be paid in many small ones, a constant one would erase the eyes. Weights are then scaled
    up by what the ridge costs a shape alone.

    Args:
        model: the face model.
        shapes: (52, N, 3) millimeters.
    """

    def __init__(self, model: MorphableModel, shapes: Floats) -> None:
        share = vertex_weights(model).astype(np.float32)
        count = len(shapes)
        self._weighted = (shapes * share[:, None]).reshape(count, -1)
        flat = self._weighted.astype(np.float64)
        normal = flat @ shapes.reshape(count, -1).T.astype(np.float64)
        modes = model.expression_modes.reshape(len(model.expression_modes), model.mean.size)
        self._modes = flat @ modes.T.astype(np.float64)
        size = np.sqrt(np.diag(normal))
        # A shape that moves nothing has no weight.
        self._moving = np.flatnonzero(size > 1e-6 * size.max()) if size.max() > 0 else np.empty(0, np.int64)
        self._normal, self._size = normal[np.ix_(self._moving, self._moving)], size[self._moving]
        self._count = count
        fewer = len(modes) < len(self._moving)
        self._for_vertices, self._for_modes = self._root(RIDGE), self._root(MODES_RIDGE if fewer else RIDGE)

    def from_coefficients(self, coefficients: Array) -> Floats:
        """(..., 52) weights of expression coefficients (..., Ke)."""
        return self._solve(coefficients @ self._modes.T, *self._for_modes)

    def from_displacements(self, displacements: Array) -> Floats:
        """(..., 52) weights of displacements (..., N, 3) in millimeters."""
        flat = displacements.reshape(*displacements.shape[:-2], -1).astype(np.float32)
        return self._solve((flat @ self._weighted.T).astype(np.float64), *self._for_vertices)

    def _root(self, ridge: float) -> tuple[Array, Array]:
        """Upper triangular R with R^T R the normal matrix, and the factors that undo the ridge."""
        if not len(self._moving):
            return np.empty((0, 0)), np.empty(0)
        cost = ridge * np.median(self._size) * self._size
        root: Array = np.linalg.cholesky(self._normal + np.diag(cost)).T.astype(np.float64)
        return root, 1 + cost / self._size**2

    def _solve(self, sides: Array, root: Array, gain: Array) -> Floats:
        from scipy.optimize import lsq_linear  # imported here: names and shapes need no SciPy

        result = np.zeros((*sides.shape[:-1], self._count), np.float32)
        if not len(self._moving):
            return result
        rows = sides.reshape(-1, self._count)[:, self._moving]
        # |R w - R^-T b|^2 is the same function of w as the least squares over all vertices.
        targets = np.linalg.solve(root.T, rows.T).T
        flat = result.reshape(-1, self._count)
        for row, target in zip(flat, targets, strict=True):
            row[self._moving] = np.clip(gain * lsq_linear(root, target, (0, 1), method="bvls").x, 0, 1)
        return result


def vertex_weights(model: MorphableModel) -> Array:
    """(N,) how much a vertex counts: the area around it, more near brows, eyes and mouth; their sum is 1."""
    mean = model.mean.astype(np.float64)
    corners = mean[model.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    around = np.zeros(len(mean))
    np.add.at(around, model.triangles.ravel(), np.repeat(area, 3))
    marks = mean[model.landmarks[FEATURES]]
    nearest = np.full(len(mean), np.inf)
    for mark in marks:
        nearest = np.minimum(nearest, ((mean - mark) ** 2).sum(1))
    weight = around * (ELSEWHERE + (1 - ELSEWHERE) * np.exp(-0.5 * nearest / REACH**2))
    return np.asarray(weight / max(weight.sum(), 1e-12))
