"""The closed-form start of a fit, with rotations by the singular value decomposition."""

from __future__ import annotations

from torch import Tensor

from .._fit_start import closed_form
from .rotation import nearest_rotation


def fit_start(
    mean: Tensor, candidates: Tensor, center: Tensor, points: Tensor, sigma: Tensor, intrinsics: Tensor
) -> Tensor:
    """(B, 3, 4); shapes as for `fit_landmarks`."""
    return closed_form(mean, candidates, center, points, sigma, intrinsics, nearest_rotation)
