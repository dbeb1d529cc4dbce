"""From parameters to points in the crop: the path of training, evaluation and reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor

from twodasl_ext import MorphableBasis, landmarks, vertices

from .crops import SIZE, flip_y
from .parameters import split_parameters


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


def _flipped(points: Tensor, size: int | Tensor) -> Tensor:
    x, y, z = points.unbind(-1)
    return torch.stack([x, flip_y(y, size), z], dim=-1)
