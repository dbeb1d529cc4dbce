"""The model's surface: what of it a scanner can see, where it is nearest to points, how its modes move it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import twodasl_ext

from ..errors import InputError
from ..morphable import MorphableModel
from .scan import border_of

_VIEW = 256  # pixels across the views that tell what is outside
_ON_BORDER = 0.999  # of a place's weights


@dataclass(frozen=True, eq=False)
class Places:
    """Places on the surface: triangle (M,), its corners (M, 3), barycentrics (M, 3), their points (M, 3),
    unit normals (M, 3), and whether they are on an open border (M,).
    """

    triangle: Tensor
    corners: Tensor
    weights: Tensor
    points: Tensor
    normals: Tensor
    border: Tensor


class Surface:
    """A model's outside on one device; coefficients are in standard deviations here.

    Triangles that cannot be seen from outside (eyeballs' backs, teeth, the mouth's inside) are left out: a
    scanner cannot see them either, and they would attract its points.
    """

    def __init__(self, model: MorphableModel, device: torch.device) -> None:
        self.model, self.device = model, device
        faces = _outside(model.mean, model.triangles)
        self.triangles = torch.from_numpy(faces).to(device)
        self._border = torch.from_numpy(border_of(faces, model.vertex_count)).to(device)
        self._around = torch.from_numpy(_triangles_around(faces, model.vertex_count)).to(device)
        self.deviations = torch.from_numpy(model.coefficient_std).to(device)
        self.mean = torch.from_numpy(model.mean).to(device)
        used = np.unique(faces)
        self.outer = torch.from_numpy(used).to(device)

    @cached_property
    def modes(self) -> Tensor:
        """(N, 3, K) float32, each of one standard deviation: a vertex's numbers lie together."""
        modes = torch.from_numpy(self.model.modes).to(self.device) * self.deviations[:, None, None]
        return modes.permute(1, 2, 0).contiguous()

    @cached_property
    def basis(self) -> twodasl_ext.MorphableBasis:
        """The operators' basis."""
        return self.model.basis(self.device)

    @cached_property
    def by_size(self) -> Tensor:
        """(K,) the modes' numbers, those that move the outside most first."""
        moved = self.modes[self.outer].square().sum(dim=(0, 1))
        return moved.argsort(descending=True, stable=True)

    def vertices(self, coefficients: Tensor) -> Tensor:
        """(N, 3) of coefficients (K,), in millimeters."""
        still = torch.eye(3, 4, dtype=torch.float32, device=self.device)[None]
        return twodasl_ext.vertices(self.basis, (coefficients.float() * self.deviations)[None], still)[0]

    def nearest(self, points: Tensor, vertices: Tensor) -> Places:
        """The places of the surface of these vertices (N, 3) nearest to points (M, 3)."""
        _, triangle, weights = twodasl_ext.closest_point_on_mesh(points, vertices, self.triangles)
        return self._places(vertices, triangle, weights)

    def _places(self, vertices: Tensor, triangle: Tensor, weights: Tensor) -> Places:
        corners = self.triangles[triangle]
        if corners.numel() < len(vertices):  # fewer corners than vertices
            at_corners = self.normals(vertices, corners.reshape(-1)).reshape(*corners.shape, 3)
        else:
            at_corners = self.normals(vertices)[corners]
        normal = torch.nn.functional.normalize((at_corners * weights[..., None]).sum(dim=1), dim=1)
        points = (vertices[corners] * weights[..., None]).sum(dim=1)
        border = (weights * self._border[corners]).sum(dim=1) > _ON_BORDER
        return Places(triangle, corners, weights, points, normal, border)

    def normals(self, vertices: Tensor, which: Tensor | None = None) -> Tensor:
        """(N, 3) unit normals, or (M, 3) of some vertices (M,): from the areas around, added in a fixed order
        on every device.
        """
        a, b, c = vertices[self.triangles].unbind(dim=1)
        area = torch.linalg.cross(b - a, c - a)
        area = torch.cat((area, area.new_zeros(1, 3)))
        around = self._around if which is None else self._around[which]
        total = torch.zeros(len(around), 3, dtype=area.dtype, device=area.device)
        for column in around.unbind(dim=1):
            total += area[column]
        return torch.nn.functional.normalize(total, dim=1)

    def rows(self, places: Places, directions: Tensor) -> Tensor:
        """(M, K): how far each mode moves each place along its direction (M, 3), in millimeters."""
        moved = self.modes[places.corners.reshape(-1)].reshape(len(directions), 9, -1)
        along = places.weights[:, :, None] * directions[:, None, :]
        return torch.bmm(along.reshape(-1, 1, 9), moved)[:, 0]

    def area(self, triangles: Tensor, vertices: Tensor) -> float:
        """The area of some triangles, each counted once, in square millimeters."""
        a, b, c = vertices[self.triangles[triangles.unique()]].unbind(dim=1)
        return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum()) / 2


def check_surface(model: MorphableModel) -> None:
    """Raise InputError for a model that has no surface to lay on a scan."""
    if not len(model.triangles):
        raise InputError(
            f"model: {model.name} has points alone; expected triangles, which are fitted to scans"
        )
    if not np.ptp(model.mean[np.unique(model.triangles)], axis=0).any():
        raise InputError(f"model: {model.name} has all its vertices at one place; expected a surface")


def _outside(mean: NDArray[np.float32], triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The triangles of which a corner is on one that is seen, from its front, from one of 20 sides.

    A corner, so that those which fall between the pixels leave no hole. No view from below and behind, which
    would see through an open neck.
    """
    steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    wanted = (np.abs(steps).sum(axis=1) > 0) & ((steps[:, 1] >= 0) | (steps[:, 2] > 0))
    sides = steps[wanted] / 1.0
    sides /= np.linalg.norm(sides, axis=1, keepdims=True)
    middle = (mean.min(0) + mean.max(0)) / 2
    scale = (_VIEW / 2 - 2) / np.linalg.norm(mean - middle, axis=1).max()
    views = []
    for side in sides:
        across = np.cross([0.0, 1.0, 0.0] if abs(side[1]) < 0.9 else [1.0, 0.0, 0.0], side)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(side, across), side])
        views.append((mean - middle) @ axes.T * scale + [_VIEW / 2, _VIEW / 2, 0])
    posed = torch.from_numpy(np.stack(views).astype(np.float32))
    drawn, _, _ = twodasl_ext.rasterize(posed, torch.from_numpy(triangles), _VIEW)
    a, b, c = (mean[triangles[:, corner]] for corner in range(3))
    facing = np.cross(b - a, c - a) @ sides.T
    seen = np.zeros(len(mean), bool)
    for view, side in zip(drawn.numpy(), facing.T, strict=True):
        shown = np.zeros(len(triangles) + 1, bool)  # one more for -1, where nothing is
        shown[view.ravel()] = True
        seen[triangles[shown[:-1] & (side > 0)].ravel()] = True
    return triangles[seen[triangles].any(axis=1)]


def _triangles_around(triangles: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count, most) triangles at each vertex, filled up with the number past the last triangle."""
    corners = triangles.ravel()
    order = np.argsort(corners, kind="stable")
    vertex = corners[order]
    first = np.searchsorted(vertex, np.arange(count))
    place = np.arange(len(vertex)) - first[vertex]
    table = np.full((count, int(place.max()) + 1), len(triangles), np.int64)
    table[vertex, place] = order // 3
    return table
