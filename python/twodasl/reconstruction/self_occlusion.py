"""Which landmarks of a face its own surface hides, or the crop leaves out."""

from __future__ import annotations

import torch
from torch import Tensor

import twodasl_ext
from twodasl_ext import MorphableBasis

from ..geometry.crops import SIZE
from ..geometry.parameters import split_parameters
from ..geometry.pose import decompose_pose
from ..geometry.projection import crop_vertices

# Millimeters behind the surface that still count as on it.
_SLACK = 5.0


def visible_landmarks(basis: MorphableBasis, triangles: Tensor, parameters: Tensor) -> Tensor:
    """(B, 68) bool: inside the crop, and in front of all that the mesh shows within a pixel.

    basis: with landmarks; triangles: (T, 3); parameters: (B, 12+K), not whitened. Hair, hands and glasses are
    not seen.
    """
    if basis.landmarks is None:
        raise ValueError("basis: expected one with landmarks")
    vertices = crop_vertices(basis, parameters)
    scale = decompose_pose(split_parameters(parameters)[0])[0]
    return in_front(vertices, triangles, basis.landmarks, SIZE, scale)


def in_front(vertices: Tensor, triangles: Tensor, indices: Tensor, size: int, scale: Tensor) -> Tensor:
    """Which vertices lie inside a square picture, and in front of all that the mesh shows within a pixel.

    Args:
        vertices: (B, N, 3) x, row, z in its pixels, larger z nearer. triangles: (T, 3).
        indices: (L,) of the vertices in question.
        size: the picture's side. scale: (B,) pixels per millimeter.

    Returns:
        (B, L) bool.
    """
    _, _, depth = twodasl_ext.rasterize(vertices, triangles, size)
    # The farthest surface within a pixel: the neighbor pixels of a contour may belong to something in front.
    farthest = -torch.nn.functional.max_pool2d(-depth[:, None], 3, 1, 1)[:, 0]
    x, row, z = vertices[:, indices].unbind(-1)
    column, line = (place.round().clamp(0, size - 1).long() for place in (x, row))
    surface = farthest.flatten(1).gather(1, line * size + column)
    inside = (x > -0.5) & (x < size - 0.5) & (row > -0.5) & (row < size - 0.5)
    return inside & (surface <= z + _SLACK * scale[:, None])
