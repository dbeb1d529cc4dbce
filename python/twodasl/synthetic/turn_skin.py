"""What of a head's surface a photo shows, and colors for the rest."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

import twodasl_ext

from ..geometry.crops import SIZE
from ..morphable import MorphableModel
from .regions import head_center

Floats = NDArray[np.float32]

FINE = 2
"""Samples per pixel, along each axis, with which heads are drawn."""

# Cosine between normal and viewing direction from which the photo begins to count, and from which it alone
# counts.
_GRAZING, _SQUARE = 0.05, 0.28
_RIM = (0.6, 2.0)  # pixels from the head's outline in the photo between which trust grows
_SLACK = 2.0  # pixels behind the surface drawn that still belong to it, more where it is seen at an angle
_BEYOND = 16  # pixels beyond the crop over which its border may stand for the head
_TWIN_DISTANCE = 0.02  # of the model's height: how far off a mirror twin may be
_REACH = 4.0  # edges over which colors diffuse before they fade against nearer ones


def fine_grid(points: Floats) -> Floats:
    """Crop pixels (N, 3) in the finer grid: its sample s of pixel u lies at u + (s + 0.5) / FINE - 0.5."""
    placed = points.astype(np.float32, copy=True)
    placed[:, :2] = (placed[:, :2] + np.float32(0.5)) * np.float32(FINE) - np.float32(0.5)
    return placed


class SeenSurface:
    """Which points of a head the photo shows."""

    def __init__(self, vertices: Floats, triangles: torch.Tensor) -> None:
        # Beyond the crop its border is repeated; the head is known there too.
        wide = fine_grid(vertices + np.array([_BEYOND, _BEYOND, 0], np.float32))
        _, _, depth = twodasl_ext.rasterize(
            torch.from_numpy(wide)[None], triangles, FINE * (SIZE + 2 * _BEYOND)
        )
        surface = depth[0].numpy()
        # Near the outline of a nearer part, the photo may show that part instead.
        self._nearest = cv2.dilate(surface, np.ones((2 * FINE + 1, 2 * FINE + 1), np.uint8))
        covered = np.isfinite(surface).astype(np.uint8)
        self._rim = cv2.distanceTransform(covered, cv2.DIST_L2, 3) / FINE

    def weight(self, points: Floats, normals: Floats) -> Floats:
        """(P,) from 0 (not seen) to 1 (squarely) for points (P, 3) of the surface, with normals (P, 3)."""
        fine = fine_grid(points)
        fine[:, :2] += FINE * _BEYOND
        last = len(self._rim) - 1
        column, row = (np.clip(np.rint(fine[:, k]), 0, last).astype(np.intp) for k in (0, 1))
        length = np.sqrt(np.einsum("pk,pk->p", normals, normals))
        facing = normals[:, 2] / np.maximum(length, 1e-9)
        weight = _step(facing, _GRAZING, _SQUARE)
        slope = np.sqrt(np.maximum(1 - facing * facing, 0)) / np.maximum(facing, _GRAZING)
        behind = self._nearest[row, column] - points[:, 2]
        weight *= 1 - _step(behind / (_SLACK * (1 + slope)), 1.0, 1.5)
        weight *= _step(self._rim[row, column], *_RIM)
        x, y = points[:, 0], points[:, 1]
        edge = np.minimum(np.minimum(x, SIZE - 1 - x), np.minimum(y, SIZE - 1 - y))
        weight *= _step(edge, -_BEYOND, 1 - _BEYOND / 2)
        return np.asarray(weight, np.float32)


class Completion:
    """What the painting of heads needs of their model, prepared once; colors for all vertices from some.

    Attributes:
        triangles: (T, 3) int64 tensor, all of the model's.
        front: (N,) see `front_of_head`.
        kept: (t, 3) int64 tensor, the triangles of that part.
        twins: (N,) int64, the opposite vertex; a vertex itself where the model has none.
    """

    def __init__(self, model: MorphableModel) -> None:
        triangles, count = model.triangles, model.vertex_count
        self._triangles = triangles
        self.triangles = torch.from_numpy(triangles)
        corners = triangles.ravel()
        ones = np.ones(len(corners), np.float32)
        owner = np.repeat(np.arange(len(triangles)), 3)
        self._gather = csr_matrix((ones, (corners, owner)), shape=(count, len(triangles)))
        mirrored, points = (torch.from_numpy(model.mean * np.array([x, 1, 1], np.float32)) for x in (-1, 1))
        squared, index = twodasl_ext.nearest_neighbors(mirrored, points)
        near = squared.numpy() <= (_TWIN_DISTANCE * np.ptp(model.mean[:, 1])) ** 2
        self.front = front_of_head(model)
        # The back of the head is left to the surroundings.
        kept = self.front[triangles].max(axis=1) > 0
        self.kept = torch.from_numpy(np.ascontiguousarray(triangles[kept]))
        self.twins: NDArray[np.int64] = np.where(near, index.numpy(), np.arange(count))
        system = diags(np.full(count, 1 / _REACH**2)) + _laplacian(triangles, count)
        self._solver = splu(
            system.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )

    def normals(self, vertices: Floats) -> Floats:
        """Outward normals (N, 3), y up, of vertices (N, 3) whose rows run down."""
        points = vertices * np.array([1, -1, 1], np.float32)
        a, b, c = (points[self._triangles[:, k]] for k in range(3))
        normals = self._gather @ np.cross(b - a, c - a)
        return np.asarray(
            normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9), np.float32
        )

    def colors(
        self, image: NDArray[np.uint8], vertices: Floats, normals: Floats, seen: SeenSurface
    ) -> Floats:
        """(N, 3) BGR: the photo's colors where it shows the vertices, spread over the mesh elsewhere."""
        soft = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
        column, row = (np.clip(np.rint(vertices[:, k]), 0, SIZE - 1).astype(np.intp) for k in (0, 1))
        colors = soft[row, column]
        weight = np.sqrt(seen.weight(vertices, normals).astype(np.float64))
        twin = 0.1 * weight[self.twins] * (1 - weight)
        right = np.column_stack(
            [weight[:, None] * colors + twin[:, None] * colors[self.twins], weight + twin]
        )
        right[:, :3] += 1e-12 * colors.mean(axis=0)
        right[:, 3] += 1e-12
        solved = self._solver.solve(right)
        guess = solved[:, :3] / np.maximum(solved[:, 3:], 1e-30)
        return np.clip(guess, 0, 255).astype(np.float32)


def front_of_head(model: MorphableModel) -> Floats:
    """(N,) from 1 on the face, the ears and the front of the neck to 0 on skull and neck behind them.

    Most photos show hair, not skin, behind the ears.
    """
    points = model.mean[model.landmarks].astype(np.float64)
    unit = float(np.linalg.norm(points[36] - points[45]))
    offset = model.mean - head_center(points)
    azimuth = np.abs(np.arctan2(offset[:, 0], offset[:, 2]))
    ears = _step(-azimuth, -2.2, -2.1) * _step(np.abs(offset[:, 0]) / abs(points[16, 0]), 0.98, 1.05)
    brow, nose = points[19, 1], points[33, 1]
    ears *= _step(brow + 0.15 * unit - model.mean[:, 1], 0, 0.1 * unit)
    ears *= _step(model.mean[:, 1] - nose + 0.3 * unit, 0, 0.1 * unit)
    return np.maximum(_step(-azimuth, -1.75, -1.5), ears).astype(np.float32)


def _step(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _laplacian(triangles: NDArray[np.int64], count: int) -> csr_matrix:
    """The mesh's graph Laplacian (N, N): degree on the diagonal, -1 for each edge."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    low, high = np.divmod(np.unique(ends.min(axis=1) * count + ends.max(axis=1)), count)
    first, second = np.concatenate([low, high]), np.concatenate([high, low])
    adjacency = coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count)).tocsr()
    return diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency
