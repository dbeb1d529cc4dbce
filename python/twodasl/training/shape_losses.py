"""What pose does not decide: shape, expression, and the openings of mouth and eyes. Ours, not the paper's.

A pose that is off by two pixels moves all landmarks and costs more than a mouth drawn shut that is open, so
the losses of section 3 teach the pose first, and little of an expression: trained by them alone, the small
network saw less than a tenth of how far synthetic faces' jaws were open. Losses of lips and lids that do not
depend on the pose are what DECA (Feng et al., arXiv 2012.04012) and EMOCA (Danecek et al., arXiv 2204.11312)
have, too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twodasl_ext import MorphableBasis

from ..geometry.constants import constant
from ..geometry.parameters import POSE_SIZE

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
    difference = predicted[:, POSE_SIZE:] - target[:, POSE_SIZE:]
    # Crop pixels per unit, squared: the mean of the squared lengths of the rows for x and y.
    scale = (target[:, 0:3].square() + target[:, 4:7].square()).sum(dim=1) / 2
    return ((difference @ metric * difference).sum(dim=1) * scale).mean()


def gap_loss(points: Tensor, target: Tensor) -> Tensor:
    """The squared error of one landmark's place relative to the other's, px^2: mean over faces, weighted mean
    over `GAPS`.

    Args:
        points, target: (B, 68, 2), crop pixels.
    """
    ends, weights = _gaps(points)
    error = points - target
    gaps: Tensor = (error[:, ends[0]] - error[:, ends[1]]).square().sum(dim=-1)
    return (gaps @ weights).mean()


def _gaps(like: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """(G,) and (G,), the ends of `GAPS`, and (G,) their weights, with sum 1."""
    total = sum(GAPS.values())
    shares = constant(tuple(weight / total for weight in GAPS.values()), like.device, like.dtype)
    first, second = (constant(end, like.device, torch.int64) for end in zip(*GAPS, strict=True))
    return (first, second), shares
