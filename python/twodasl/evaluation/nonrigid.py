"""Deforming a region of a scan onto a mesh, as REALY's evaluation does: affine maps that vary smoothly.

Amberg et al., "Optimal step nonrigid ICP algorithms for surface registration" (CVPR 2007): each vertex has an
affine map of its own; those of neighbors are held alike by a stiffness that falls in stages. Constants and
stages are those of the program that REALY's authors published.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from ..errors import InputError
from .rigid import Points

Indices = NDArray[np.int64]

_STIFFNESS, _DECAY, _STAGES = 50.0, 0.5, 3
_STILL = 1.0  # norm of the change of all maps at which a stage ends; half of it in each further stage
_LED_STIFFNESS, _LED_BALANCE = 150.0, (2.0, 2.0, 3.0, 2.0)  # of the stage that the handles alone lead
_HANDLE, _HANDLE_DECAY, _HANDLE_LATER = 50.0, 0.9, 0.1
_LED_STEPS = 11  # of a stage, where there are handles
_STEPS = 100  # else; the program has no limit
_NEAR = 2.0  # times the mean distance, or 1, from which a pair does not count


def deformed(
    vertices: Points, triangles: Indices, targets: Points, handles: Indices, places: Points
) -> Points:
    """Vertices (N, 3), connected by triangles (T, 3), moved onto the nearest of `targets` (M, 3).

    handles: (h,) vertices that are led to `places` (h, 3), first of all and then less and less; none where h
    is 0. Every vertex must be in a triangle. Raises InputError where the handles fix no deformation.
    """
    laplacian = _laplacian(triangles, len(vertices))
    tree = KDTree(targets)
    current, maps = vertices, np.ones((4 * len(vertices), 3))
    pull, led = np.zeros(len(vertices)), np.zeros_like(vertices)
    led[handles] = places
    count = 0
    if len(handles):
        pull[handles] = _HANDLE
        stiffness = sparse.kron(laplacian, np.diag(np.square(_LED_BALANCE)))
        current, maps = _solved(_LED_STIFFNESS, stiffness, current, pull**2, pull[:, None] ** 2 * led)
        count = 1
    stiffness = sparse.kron(laplacian, np.eye(4))
    before = np.zeros_like(maps)
    most = _LED_STEPS if len(handles) else _STEPS
    for stage in range(_STAGES):
        for _ in range(most):
            if np.linalg.norm(maps - before) <= _STILL * 0.5**stage:
                break
            before = maps
            distance, index = tree.query(current)
            counted = (distance < max(_NEAR * distance.mean(), 1.0)).astype(np.float64)
            pull[handles] = _HANDLE_LATER * _HANDLE * np.exp(-_HANDLE_DECAY * count)
            weights = counted + pull**2
            aims = counted[:, None] * targets[index] + pull[:, None] ** 2 * led
            current, maps = _solved(_STIFFNESS * np.exp(-_DECAY * stage), stiffness, current, weights, aims)
            count += 1
    return current


def _solved(
    alpha: float, stiffness: sparse.spmatrix, vertices: Points, weights: Points, aims: Points
) -> tuple[Points, Points]:
    """The least squares of alpha^2 |stiffness| and weights (N,) times the distance from aims / weights: where
    the vertices go (N, 3), and the maps (4N, 3) that move them."""
    count = len(vertices)
    rows = np.concatenate([vertices, np.ones((count, 1))], axis=1)
    blocks = weights[:, None, None] * rows[:, :, None] * rows[:, None, :]
    data = sparse.bsr_matrix((blocks, np.arange(count), np.arange(count + 1)))
    right = (rows[:, :, None] * aims[:, None, :]).reshape(-1, 3)
    try:
        factor = splu(
            (alpha**2 * stiffness + data).tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        maps = np.stack([factor.solve(column) for column in np.ascontiguousarray(right.T)], axis=1)
    except RuntimeError as error:  # exactly singular
        raise InputError(f"region: its keypoints fix no deformation ({error})") from error
    moved = np.einsum("nk,nkc->nc", rows, maps.reshape(count, 4, 3))
    if not np.isfinite(moved).all():
        raise InputError("region: its keypoints fix no deformation; they lie in a plane or on a line")
    return moved, maps


def _laplacian(triangles: Indices, count: int) -> sparse.csr_matrix:
    """The sum over edges of the squared difference, as a matrix (N, N)."""
    edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    signs = np.tile([1.0, -1.0], len(edges))
    incidence = sparse.csr_matrix(
        (signs, (np.repeat(np.arange(len(edges)), 2), edges.ravel())), shape=(len(edges), count)
    )
    return incidence.T @ incidence
