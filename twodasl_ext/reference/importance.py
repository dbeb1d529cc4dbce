"""importance_weights by its definition: one reconstruction per parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from .landmarks import landmarks as landmarks_of


def importance_weights(
    mean: Tensor,
    modes: Tensor,
    landmarks: Tensor,
    predicted: Tensor,
    target: Tensor,
    *,
    space: str = "3d",
    normalize: str = "sum",
) -> Tensor:
    """(B, 12 + K): how far the landmarks move when one target parameter is replaced by the predicted one."""
    width = target.shape[1]
    one_replaced = torch.where(torch.eye(width, dtype=torch.bool), predicted[:, None], target[:, None])

    def project(parameters: Tensor) -> Tensor:
        flat = parameters.reshape(-1, width)
        points = landmarks_of(mean, modes, landmarks, flat[:, 12:], flat[:, :12].reshape(-1, 3, 4))
        points = points[..., :2] if space == "2d" else points
        return points.reshape(*parameters.shape[:-1], points.shape[1] * points.shape[2])

    weights = (project(one_replaced) - project(target)[:, None]).norm(dim=2)
    weights[:, 8 if space == "2d" else 11 : 12] = 0
    if normalize == "max":
        return weights / (weights.amax(dim=1, keepdim=True) + 1e-6)
    total = weights.sum(dim=1, keepdim=True)
    return torch.where(total == 0, torch.zeros_like(weights), weights / total)
