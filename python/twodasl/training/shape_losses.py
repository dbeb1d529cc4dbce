"""What pose does not decide: shape, expression, and the openings of mouth and eyes. Ours, not the paper's.

A pose that is off by two pixels moves all landmarks and costs more than a mouth drawn shut that is open, so
the losses of section 3 teach the pose first, and little of an expression: trained by them alone, the small
network saw less than a tenth of how far synthetic faces' jaws were open. Losses of lips and lids that do not
depend on the pose are what DECA (Feng et al., arXiv 2012.04012) and EMOCA (Danecek et al., arXiv 2204.11312)
have, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twodasl_ext import MorphableBasis

from ..geometry.constants import constant
from ..geometry.parameters import POSE_SIZE
from .gradients import Quadratic

# Two of the 68 landmarks whose distance says what a face does, and the weight of its square: an eye shuts
# over a fourth of the way that a mouth does.
_LIPS = {(61, 67): 1.0, (62, 66): 1.0, (63, 65): 1.0}
_LIDS = {(37, 41): 4.0, (38, 40): 4.0, (43, 47): 4.0, (44, 46): 4.0}
_MOUTH = {(48, 54): 1.0, (51, 57): 1.0}
_BROWS = {(19, 37): 2.0, (24, 44): 2.0}
_LENGTH = {(8, 33): 1.0, (27, 33): 1.0}
GAPS = {**_LIPS, **_LIDS, **_MOUTH, **_BROWS, **_LENGTH}


def pose_free_metric(basis: MorphableBasis) -> Tensor:
    """(K, K): `d^T G d` is what the difference d of coefficients makes of the landmarks, squared, pose apart.

    The mean over the 68 landmarks of their squared displacement, and the weighted mean over `GAPS` of that of
    one point from the other, in the model's units squared.
    """
    modes = basis.modes[:, basis.landmarks].to(basis.dtype)
    ends, weights = _gaps(modes)
    gaps = (modes[:, ends[0]] - modes[:, ends[1]]) * weights.sqrt()[:, None]
    alone, apart = modes.flatten(1), gaps.flatten(1)
    metric: Tensor = alone @ alone.T / modes.shape[1] + apart @ apart.T
    return metric


def pose_free_loss(metric: Tensor, predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over faces of the squared error of landmarks and gaps that coefficients make under the true pose.

    Args:
        metric: (K, K) of `pose_free_metric`.
        predicted, target: (B, 12+K), not whitened. Only the coefficients of `predicted` get a gradient.

    Returns:
        A scalar, px^2: the metric times the square of the target's scale.
    """
    return pose_free_values(pose_free_form(metric), predicted, target).mean()


@dataclass(frozen=True)
class PoseFree:
    """Constants of `pose_free_loss` for whole parameter vectors."""

    metric: Tensor
    """(12+K, 12+K), zero where the pose is."""
    planar: Tensor
    """(12+K,), 1/2 at the rows of the pose's matrix for x and y: with the parameters' squares the square of
    crop pixels per unit."""


def pose_free_form(metric: Tensor) -> PoseFree:
    """Of a metric (K, K)."""
    whole = torch.nn.functional.pad(metric, (POSE_SIZE, 0, POSE_SIZE, 0))
    planar = torch.zeros_like(whole[0])
    planar[0:3] = planar[4:7] = 0.5
    return PoseFree(whole, planar)


def pose_free_values(form: PoseFree, predicted: Tensor, target: Tensor) -> Tensor:
    """(B,) what each face gives to `pose_free_loss`."""
    values: Tensor = Quadratic.apply(predicted, target, form.metric, (target * target) @ form.planar)
    return values


def gap_loss(points: Tensor, target: Tensor) -> Tensor:
    """The squared error of one landmark's place relative to the other's, px^2: mean over faces, weighted mean
    over `GAPS`.

    Args:
        points, target: (B, 68, 2), crop pixels.
    """
    return gap_values(points, target, gap_metric(points)).mean()


def gap_values(points: Tensor, target: Tensor, metric: Tensor) -> Tensor:
    """(B,) what each face gives to `gap_loss`; metric: of `gap_metric`."""
    values: Tensor = Quadratic.apply(points.flatten(1), target.flatten(1), metric, None)
    return values


def gap_metric(like: Tensor) -> Tensor:
    """(136, 136) on the device of `like`: `e^T G e` is `gap_loss` of errors e, (68, 2) as one vector."""
    (first, second), weights = _gaps(like)
    every = torch.eye(68, dtype=like.dtype, device=like.device)
    gaps = every[first] - every[second]
    return torch.kron(gaps.T @ (gaps * weights[:, None]), torch.eye(2).to(gaps))


def _gaps(like: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """(G,) and (G,), the ends of `GAPS`, and (G,) their weights, with sum 1."""
    total = sum(GAPS.values())
    shares = constant(tuple(weight / total for weight in GAPS.values()), like.device, like.dtype)
    first, second = (constant(end, like.device, torch.int64) for end in zip(*GAPS, strict=True))
    return (first, second), shares
