"""Light transport for the vertices of a face model, and the linear fields that give normals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..morphable import MorphableModel
from .planar import mixed

Floats = NDArray[np.float32]

DIRECTIONS = 96
_RESOLUTION = 112


@dataclass(frozen=True)
class LightTransfer:
    """Self-shadowing of the mean head from a fixed set of directions, reused for all expressions and
    identities.
    """

    directions: Floats
    """(D, 3) unit vectors in the model's axes."""
    visibility: Floats
    """(D, N): 1 where light from that direction arrives, 0 in shadow, smooth in between."""
    openness: Floats
    """(N,): cosine-weighted fraction of the sky visible from a vertex (ambient occlusion)."""

    def shadow(self, direction: NDArray[np.floating], sharpness: float) -> Floats:
        """(N,) light arriving from around a direction (model axes); a low sharpness means a large lamp."""
        closeness = np.einsum("dk,k->d", self.directions, direction.astype(np.float32))
        nearest = np.argpartition(closeness, -6)[-6:]
        weights = np.exp(sharpness * (closeness[nearest] - closeness[nearest].max()))
        return mixed(weights / weights.sum(), self.visibility[nearest])


def light_transfer(model: MorphableModel) -> LightTransfer:
    """Render the mean head's depth from every direction; takes about a quarter of a second."""
    directions = _sphere(DIRECTIONS)
    mean = model.mean - (model.mean.max(axis=0) + model.mean.min(axis=0)) / 2
    radius = float(np.linalg.norm(mean, axis=1).max())
    scale = (_RESOLUTION / 2 - 1) / radius
    frames = np.stack([_frame(direction) for direction in directions])
    seen = np.einsum("nk,dck->dnc", mean, frames) * scale + np.array(
        [_RESOLUTION / 2, _RESOLUTION / 2, 0.0], np.float32
    )
    seen = seen.astype(np.float32)
    triangles = torch.from_numpy(model.triangles)
    visibility = np.empty((DIRECTIONS, len(mean)), np.float32)
    # A vertex is lit if nothing is more than this in front of it; the margin absorbs the slope within a
    # pixel.
    slack = 5.0 * scale
    for index in range(0, DIRECTIONS, 8):
        part = seen[index : index + 8]
        depth = twodasl_ext.rasterize(torch.from_numpy(part), triangles, _RESOLUTION)[2].numpy()
        column = np.clip(np.rint(part[..., 0]).astype(int), 0, _RESOLUTION - 1)
        row = np.clip(np.rint(part[..., 1]).astype(int), 0, _RESOLUTION - 1)
        nearest = depth[np.arange(len(part))[:, None], row, column]
        visibility[index : index + 8] = nearest <= part[..., 2] + slack
    average = _neighbor_average(model.triangles, len(mean))
    for _ in range(3):
        visibility = np.ascontiguousarray((average @ visibility.T).T)
    normals = mean_normals(model)
    cosine = np.maximum(np.einsum("dk,nk->dn", directions, normals), 0.0)
    openness = (cosine * visibility).sum(axis=0) / np.maximum(cosine.sum(axis=0), 1e-6)
    return LightTransfer(directions, visibility.astype(np.float32), openness.astype(np.float32))


def mean_normals(model: MorphableModel) -> Floats:
    """(N, 3) area-weighted unit normals of the mean shape."""
    corners = model.mean[model.triangles].astype(np.float64)
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(model.mean, dtype=np.float64)
    for corner in range(3):
        np.add.at(normals, model.triangles[:, corner], faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.maximum(length, 1e-9)).astype(np.float32)


def tangent_operators(model: MorphableModel) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Two (N, N) matrices A, B: `A V` and `B V` are tangent vectors whose cross product is the normal of V.

    They are the least-squares gradients of V over each vertex's neighbors, in a tangent frame of the mean
    shape. They are linear in V and therefore in the coefficients: a sample's normals come out of the same
    linear synthesis as its vertices, without using the triangles.
    """
    count, normals = len(model.mean), mean_normals(model).astype(np.float64)
    edges = _edges(model.triangles)
    start, end = edges[:, 0], edges[:, 1]
    # A tangent frame per vertex: the axis least aligned with the normal, made orthogonal.
    axis = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
    first = axis - normals * (axis * normals).sum(axis=1, keepdims=True)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(normals, first)
    offset = model.mean[end].astype(np.float64) - model.mean[start]
    x, y = (offset * first[start]).sum(axis=1), (offset * second[start]).sum(axis=1)
    xx, xy, yy = (np.bincount(start, a * b, count) for a, b in ((x, x), (x, y), (y, y)))
    # A ridge far below any real neighborhood keeps isolated vertices at zero instead of infinity.
    ridge = 1e-6 * (xx + yy) + 1e-9
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy * xy
    along = (yy[start] * x - xy[start] * y) / determinant[start]
    across = (xx[start] * y - xy[start] * x) / determinant[start]
    return _difference_matrix(start, end, along, count), _difference_matrix(start, end, across, count)


def _difference_matrix(
    start: NDArray[np.int64], end: NDArray[np.int64], weights: NDArray[np.float64], count: int
) -> sparse.csr_matrix:
    """Sum over neighbors of weight * (V[end] - V[start])."""
    diagonal = np.arange(count)
    rows = np.concatenate([start, diagonal])
    columns = np.concatenate([end, diagonal])
    values = np.concatenate([weights, -np.bincount(start, weights, count)])
    return sparse.csr_matrix((values, (rows, columns)), shape=(count, count))


def _edges(triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every edge in both directions, (E, 2), sorted."""
    a, b, c = triangles.T
    count = int(triangles.max()) + 1
    # Encode an edge as one number: sorting pairs is several times slower.
    keys = np.unique(np.concatenate([a, b, c, b, c, a]) * count + np.concatenate([b, c, a, a, b, c]))
    return np.stack([keys // count, keys % count], axis=1)


def _neighbor_average(triangles: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    edges = _edges(triangles)
    ones = np.ones(len(edges), np.float32)
    adjacency = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacency = adjacency + sparse.identity(count, dtype=np.float32, format="csr")
    inverse = 1.0 / np.asarray(adjacency.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(inverse.astype(np.float32)) @ adjacency)


def _sphere(count: int) -> Floats:
    """Directions evenly over the sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, index * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], axis=1).astype(np.float32)


def _frame(direction: Floats) -> Floats:
    """(3, 3) rows: right, up, direction."""
    axis = np.eye(3, dtype=np.float32)[int(np.argmin(np.abs(direction)))]
    right = np.cross(axis, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction])
