"""The pose of the mean shape in closed form, where a fit has no start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Nearest = Callable[[Tensor], Tensor]

PERSPECTIVE_ROUNDS = 4
_NEAR, _FAR = 1.5, 0.1
"""No nearer than so many radii, with all of the face before the camera; and how large (one over how far) a
face is taken to be whose size does not show."""


def closed_form(
    mean: Tensor,
    candidates: Tensor,
    center: Tensor,
    points: Tensor,
    sigma: Tensor,
    intrinsics: Tensor,
    nearest: Nearest,
) -> Tensor:
    """Shapes as for `fit_landmarks` -> (B, 3, 4): scale times a rotation, and a translation.

    In space, the best similarity (Umeyama). In the image, the best affine map of the points, by least squares
    with a small ridge, and the scaled rotation nearest to its two rows; the center's depth is zero. With
    perspective, the same on the image at unit focal length, improved by the points' depths (POSIT), with
    scale 1. What the points leave open (fewer than four, on a line, on one place) is a rotation all the same;
    a size that they do not show is 1 (with perspective: ten radii away), and a face of which nothing is seen
    has the identity.
    """
    seen = points.isfinite().all(dim=2) & sigma.isfinite() & (sigma > 0)
    weight = torch.where(seen, 1 / torch.where(seen, sigma, 1).square(), 0)
    total = weight.sum(dim=1, keepdim=True)
    weight = weight / torch.where(total > 0, total, 1)
    target = torch.where(seen[..., None], points, 0)
    model = mean[candidates[:, 0]] - center
    if points.shape[2] == 3:
        return _similarity(model, target, weight, center, nearest)
    if intrinsics.dim() == 1:
        return _orthographic(model, target, weight, center, nearest)
    ideal = torch.where(seen[..., None], (target - intrinsics[:, None, 2:]) / intrinsics[:, None, :2], 0)
    return _perspective(model, ideal, weight, center, nearest)


def _similarity(model: Tensor, target: Tensor, weight: Tensor, center: Tensor, nearest: Nearest) -> Tensor:
    apart, model_mean = _centered(model.expand(target.shape[0], -1, -1), weight)
    target, target_mean = _centered(target, weight)
    covariance = (weight[..., None] * target).mT @ apart
    rotation = nearest(covariance)
    spread = (weight * apart.square().sum(dim=2)).sum(dim=1)
    scale = (rotation * covariance).sum(dim=(1, 2)) / torch.where(spread > 0, spread, 1)
    scale = _positive(scale, model.new_ones(()))
    matrix = scale[:, None, None] * rotation
    return _pose(matrix, target_mean - (matrix @ model_mean[..., None])[..., 0], center)


def _orthographic(model: Tensor, target: Tensor, weight: Tensor, center: Tensor, nearest: Nearest) -> Tensor:
    matrix, shift = _scaled_rotation(model, target, weight, nearest, model.new_ones(()))
    return _pose(matrix, torch.cat((shift, torch.zeros_like(shift[:, :1])), dim=1), center)


def _scaled_rotation(
    model: Tensor, target: Tensor, weight: Tensor, nearest: Nearest, otherwise: Tensor
) -> tuple[Tensor, Tensor]:
    """(B, 3, 3), and where the model's origin lands in the image (B, 2)."""
    apart, model_mean = _centered(model.expand(target.shape[0], -1, -1), weight)
    target, target_mean = _centered(target, weight)
    spread = (weight[..., None] * apart).mT @ apart
    size = spread.diagonal(dim1=1, dim2=2).sum(dim=1)
    ridge = 1e-4 * size + (size == 0)
    spread = spread + torch.diag_embed(ridge[:, None].expand(-1, 3))
    affine = ((weight[..., None] * target).mT @ apart) @ torch.linalg.inv_ex(spread)[0]
    rotation = nearest(torch.cat((affine, torch.zeros_like(affine[:, :1])), dim=1))
    scale = _positive((rotation[:, :2] * affine).sum(dim=(1, 2)) / 2, otherwise)
    matrix = scale[:, None, None] * rotation
    return matrix, target_mean - (matrix[:, :2] @ model_mean[..., None])[..., 0]


def _perspective(model: Tensor, ideal: Tensor, weight: Tensor, center: Tensor, nearest: Nearest) -> Tensor:
    """Each round takes the image for one without perspective, in which a point is 1 + (its depth beyond the
    center's) / (the center's depth) times further from the middle."""
    stretch = torch.ones_like(weight)
    radius = torch.cat((model.norm(dim=1), model.new_zeros(1))).amax()
    radius = torch.where(radius > 0, radius, 1)
    for _ in range(PERSPECTIVE_ROUNDS):
        matrix, shift = _scaled_rotation(model, ideal * stretch[..., None], weight, nearest, _FAR / radius)
        size = matrix[:, 0].norm(dim=1)
        rotation = matrix / size[:, None, None]
        depth = (1 / size).clamp(min=_NEAR * radius)
        stretch = (1 + (model @ rotation.mT)[..., 2] / depth[:, None]).clamp(min=0.1)
    place = torch.cat((shift, torch.ones_like(shift[:, :1])), dim=1) * depth[:, None]
    return _pose(rotation, place, center)


def _centered(points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    mean = (weight[..., None] * points).sum(dim=1)
    return points - mean[:, None], mean


def _positive(scale: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where((scale > 0) & scale.isfinite(), scale, otherwise)


def _pose(matrix: Tensor, place: Tensor, center: Tensor) -> Tensor:
    """The pose that brings the center to `place`."""
    return torch.cat((matrix, (place - matrix @ center)[..., None]), dim=2)
