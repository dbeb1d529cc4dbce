"""Flattening one half of the head's skin into a rectangle without folds.

The half is a disk: its border is the midline of the face, the neck's opening, and the midline of the back of
the head. Each part of the border may slide along its side of the rectangle. Tutte's embedding is the start,
which has no folds; then the symmetric Dirichlet energy is lowered by reweighted least squares (Rabinovich,
Poranne, Panozzo, Sorkine-Hornung, "Scalable Locally Injective Mappings", 2017), and no step may fold a
triangle. A map of a disk onto a rectangle that folds nothing covers nothing twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bmat, coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_PROXIMAL = 1e-4  # of the mean diagonal: keeps the system definite where nothing else does
_FAR = 0.8  # of the way to the first fold: the longest step


def tutte(triangles: IntArray, count: int, fixed: Array) -> Array:
    """Places (N, 2) where each vertex is the mean of its neighbors; `fixed` (N, 2) holds NaN where free."""
    ends = np.concatenate([triangles, triangles[:, ::-1]])
    rows, columns = ends.ravel(), np.roll(ends, 1, axis=1).ravel()
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count)).tocsr()
    graph.data[:] = 1
    system = (diags(np.asarray(graph.sum(axis=1)).ravel()) - graph).tocsr()
    places = np.empty((count, 2))
    for axis in range(2):
        free = np.isnan(fixed[:, axis])
        known = np.where(free, 0, fixed[:, axis])
        known[free] = _solved(system[free][:, free], -(system @ known)[free])
        places[:, axis] = known
    return places


def lower_energy(
    places: Array, triangles: IntArray, rest: Array, held: NDArray[np.bool_], rounds: int
) -> Array:
    """Places (N, 2) after `rounds` of descent from `places`, which must not fold a triangle.

    rest: (T, 2, 2), each triangle's two edges from its first corner in its own plane, as columns, as long as
    they should be. held: (N, 2), the coordinates that stay.
    """
    inverse = np.linalg.inv(rest)
    area = np.abs(np.linalg.det(rest)) / 2
    count = len(places)
    # The differential of a coordinate over each triangle: (2T, N), rows d/dx of all, then d/dy of all.
    rows = np.arange(len(triangles))
    entries = []
    for axis in range(2):
        first, second = inverse[:, 0, axis], inverse[:, 1, axis]
        corners = (-(first + second), first, second)
        entries += [(value, rows + axis * len(rows), triangles[:, k]) for k, value in enumerate(corners)]
    values, at, column = (np.concatenate(part) for part in zip(*entries, strict=True))
    gradient = csr_matrix((values, (at, column)), shape=(2 * len(rows), count))
    free = ~held.T.ravel()  # all first coordinates, then all second ones
    energy = _energy(_jacobians(gradient, places), area)
    for _ in range(rounds):
        turned, weight = _proxy(_jacobians(gradient, places))
        step = np.zeros(2 * count)
        step[free] = _step(gradient, places, turned, weight, area, free)
        direction = step.reshape(2, count).T
        length = min(1.0, _FAR * _first_fold(places, direction, triangles))
        while length > 1e-9:
            trial = places + length * direction
            reached = _energy(_jacobians(gradient, trial), area)
            if reached < energy:
                places, energy = trial, reached
                break
            length /= 2
    return places


def _jacobians(gradient: csr_matrix, places: Array) -> Array:
    """(T, 2, 2): how each triangle is mapped, J[:, i, j] = d place_i / d rest_j."""
    return np.stack([part.reshape(2, -1).T for part in (gradient @ places).T], axis=1)


def _energy(jacobian: Array, area: Array) -> float:
    """|J|^2 + |J^-1|^2 over the triangles; 4 times the area where nothing is distorted."""
    determinant = np.linalg.det(jacobian)
    if (determinant <= 0).any():
        return np.inf
    squares = (jacobian**2).sum(axis=(1, 2))
    return float(area @ (squares * (1 + determinant**-2.0)))


def _proxy(jacobian: Array) -> tuple[Array, Array]:
    """The nearest rotation of each triangle, and the weights (T, 2, 2) of the distance from it."""
    left, size, right = np.linalg.svd(jacobian)
    slope = size - size**-3.0
    apart = size - 1
    near = np.abs(apart) < 1e-6
    scale = np.sqrt(np.where(near, 2.0, slope / np.where(near, 1.0, apart)))
    return left @ right, np.einsum("tij,tj,tkj->tik", left, scale, left)


def _step(
    gradient: csr_matrix, places: Array, turned: Array, weight: Array, area: Array, free: NDArray[np.bool_]
) -> Array:
    """How far the free coordinates are from where the reweighted squares are least."""
    squared = np.einsum("tij,tik,t->tjk", weight, weight, area)  # (T, 2, 2), symmetric
    own, cross, other = (
        gradient.T @ diags(np.tile(squared[:, i, j], 2)) @ gradient for i, j in ((0, 0), (0, 1), (1, 1))
    )
    system = bmat([[own, cross], [cross.T, other]]).tocsr()
    apart = turned - _jacobians(gradient, places)
    pull = np.einsum("tij,tjk->tik", squared, apart)  # rows: coordinate, columns: rest axis
    right = np.concatenate([gradient.T @ np.concatenate([pull[:, i, 0], pull[:, i, 1]]) for i in range(2)])
    inner = system[free][:, free]
    inner = inner + _PROXIMAL * inner.diagonal().mean() * diags(np.ones(inner.shape[0]))
    return _solved(inner, right[free])


def _first_fold(places: Array, direction: Array, triangles: IntArray) -> float:
    """The smallest positive multiple of `direction` that makes a triangle's area zero; infinity if none."""
    a, b = (places[triangles[:, k]] - places[triangles[:, 0]] for k in (1, 2))
    c, d = (direction[triangles[:, k]] - direction[triangles[:, 0]] for k in (1, 2))
    constant, linear, square = _cross(a, b), _cross(a, d) + _cross(c, b), _cross(c, d)
    # constant + linear t + square t^2 = 0, in the form that does not cancel.
    inside = linear**2 - 4 * square * constant
    root = np.sqrt(np.maximum(inside, 0))
    q = -0.5 * (linear + np.where(linear >= 0, root, -root))
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.stack([q / square, constant / q])
    times = times[:, inside >= 0]
    times = times[np.isfinite(times) & (times > 0)]
    return float(times.min()) if len(times) else np.inf


def _cross(a: Array, b: Array) -> Array:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _solved(system: csr_matrix, right: Array) -> Array:
    options = {"SymmetricMode": True}
    factor = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    return factor.solve(right)
