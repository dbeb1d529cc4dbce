"""From parameters to landmarks in the crop: the path of training, evaluation and reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor

from twodasl_ext import MorphableBasis, landmarks

from .crops import flip_y
from .parameters import split_parameters


def crop_landmarks(basis: MorphableBasis, parameters: Tensor, indices: Tensor | None = None) -> Tensor:
    """Parameters (B, 12+K), not whitened, to the basis's landmarks (B, L, 3) in crop pixels (x, row, z).

    indices: (L,) int64, vertices to take instead of the basis's landmarks. Differentiable in the parameters.
    """
    pose, coefficients = split_parameters(parameters, basis.mode_count)
    x, y, z = landmarks(basis, coefficients, pose, indices).unbind(-1)
    return torch.stack([x, flip_y(y), z], dim=-1)
