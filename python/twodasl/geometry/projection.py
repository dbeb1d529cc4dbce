"""From parameters to points in the crop: the path of training, evaluation and reconstruction."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from twodasl_ext import MorphableBasis, landmarks, vertices

from .constants import constant
from .crops import SIZE, flip_y
from .parameters import POSE_SIZE, split_parameters

_LEVEL = float(flip_y(np.array(0.0)))
"""The row of y = 0."""


def crop_landmarks(basis: MorphableBasis, parameters: Tensor, indices: Tensor | None = None) -> Tensor:
    """Landmarks of faces, in crop pixels.

    Args:
        basis: of N vertices and K modes.
        parameters: (B, 12+K), not whitened.
        indices: (L,) int64, vertices to take instead of the basis's landmarks.

    Returns:
        (B, L, 3): x, row, z. Differentiable in the parameters. Raises ValueError where there are not 12+K.
    """
    pose, coefficients = split_parameters(parameters, basis.mode_count)
    return _flipped(landmarks(basis, coefficients, pose, indices), SIZE)


def crop_vertices(basis: MorphableBasis, parameters: Tensor, size: int | Tensor = SIZE) -> Tensor:
    """All vertices of faces, in crop pixels.

    Args:
        basis: of N vertices and K modes.
        parameters: (B, 12+K), not whitened.
        size: rows of the crop; (B, 1) where each pose places its face in a photo of that height instead.

    Returns:
        (B, N, 3): x, row, z. Differentiable in the parameters. Raises ValueError where there are not 12+K.
    """
    pose, coefficients = split_parameters(parameters, basis.mode_count)
    return _flipped(vertices(basis, coefficients, pose), size)


def turned(parameters: Tensor) -> Tensor:
    """Parameters (..., 12+K) whose pose gives crop pixels with rows downward. It is its own inverse.

    `turned_landmarks` of them are `crop_landmarks` of the parameters, but for rounding: the pose's second row
    is flipped before points are computed, which is less work and gives a gradient in one operation.
    Differences of turned parameters are those of the parameters up to sign. Differentiable.
    """
    level, signs = row_signs(parameters)
    return torch.addcmul(level, parameters, signs)


def row_signs(like: Tensor) -> tuple[Tensor, Tensor]:
    """(12+K,) and (12+K,): `turned(p)` is `level + signs * p`."""
    size = like.shape[-1]
    level, signs = [0.0] * size, [1.0] * size
    level[7], signs[4:8] = _LEVEL, [-1.0] * 4
    return (
        constant(tuple(level), like.device, like.dtype),
        constant(tuple(signs), like.device, like.dtype),
    )


def turned_landmarks(basis: MorphableBasis, parameters: Tensor) -> Tensor:
    """Landmarks (B, L, 3) in crop pixels (x, row, z) of parameters (B, 12+K) that `turned` gave."""
    # Split, not sliced: the gradient is then one concatenation.
    pose, coefficients = parameters.split((POSE_SIZE, parameters.shape[1] - POSE_SIZE), dim=1)
    return landmarks(basis, coefficients, pose.unflatten(1, (3, 4)))


def _flipped(points: Tensor, size: int | Tensor) -> Tensor:
    x, y, z = points.unbind(-1)
    return torch.stack([x, flip_y(y, size), z], dim=-1)
