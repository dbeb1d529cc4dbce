"""iterative_closest_point for one pair of clouds, by brute force and LAPACK, as in the papers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .rotation import nearest_rotation


def iterative_closest_point(
    source: Tensor,
    target: Tensor,
    *,
    scale: bool = False,
    trim: float = 0.0,
    max_distance: float = math.inf,
    iterations: int = 50,
    normals: Tensor | None = None,
    recenter: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N, 3), (P, 3) -> rotation, translation, scale after `iterations`, errors (iterations + 1,).

    Starts with the centroids (and, for a scale, the sizes) aligned; memory N * P. With `normals` (P, 3), of
    unit length, point-to-plane.
    """
    rotation, factor = torch.eye(3).to(source), torch.ones(()).to(source)
    source_mean, target_mean = source.mean(dim=0), target.mean(dim=0)
    if scale:
        both = ((source, source_mean), (target, target_mean))
        spreads = [(cloud - mean).square().sum().div(len(cloud)).sqrt() for cloud, mean in both]
        factor = spreads[1] / spreads[0]
    translation = target_mean - factor * rotation @ source_mean
    errors = []
    for iteration in range(iterations + 1):
        moved = factor * source @ rotation.T + translation
        distances, index = torch.cdist(moved, target, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        counted = distances <= distances.sort()[0][math.ceil((1 - trim) * len(source)) - 1]
        used = counted & (distances <= max_distance)
        p, q = source[used], target[index[used]]
        residuals = (factor * p @ rotation.T + translation - q).square().sum(dim=1)
        if normals is not None:
            n = normals[index[used]]
            residuals = ((factor * p @ rotation.T + translation - q) * n).sum(dim=1).square()
        outside = counted.sum() - used.sum()
        clipped = outside * max_distance**2 if outside else 0.0
        errors.append(((residuals.sum() + clipped) / counted.sum()).sqrt())
        if iteration == iterations:
            break
        if normals is not None:
            offset = translation - target_mean
            rotation, offset, factor = _plane(p, q - target_mean, n, rotation, offset, factor, scale)
            translation = offset + target_mean
            continue
        p_mean, q_mean = (source_mean, target_mean) if recenter else (p.mean(dim=0), q.mean(dim=0))
        covariance = (q - q_mean).T @ (p - p_mean)
        rotation = nearest_rotation(covariance[None])[0]
        if scale:
            factor = (rotation * covariance).sum() / (p - p_mean).square().sum()
        translation = q_mean - factor * rotation @ p_mean
    return rotation, translation, factor, torch.stack(errors)


def _plane(
    p: Tensor, q: Tensor, n: Tensor, rotation: Tensor, translation: Tensor, factor: Tensor, scale: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A Gauss-Newton step about the origin: a rotation vector, a translation, the logarithm of the growth."""
    moved = factor * p @ rotation.T + translation
    columns = [torch.linalg.cross(moved, n), n] + ([(moved * n).sum(dim=1, keepdim=True)] if scale else [])
    rows = torch.cat(columns, dim=1)
    step = torch.linalg.lstsq(rows, -((moved - q) * n).sum(dim=1, keepdim=True)).solution[:, 0]
    w, zero = step[:3], step.new_zeros(())
    cross = torch.stack((zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero)).reshape(3, 3)
    turn, growth = torch.linalg.matrix_exp(cross), step[6].exp() if scale else torch.ones(()).to(p)
    return turn @ rotation, growth * turn @ translation + step[3:6], growth * factor
