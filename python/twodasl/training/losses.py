"""The losses of 2DASL (arXiv 1903.09359, section 3), each one expression over `twodasl_ext` operators.

    L = L3d + l1 L2d-con + l2 L3d-con + l3 Lcyc + l4 Lsc

and, for fine-tuning, the vertex distance cost. All return a scalar, the mean over the batch, and are
differentiable in what the networks predict. Parameters are (B, 12+K), `[3x4 pose | coefficients]` and *not*
whitened; points are crop pixels, so squared distances are in px^2 (which is why the paper's weights for
them are as small as 0.005).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from twodasl_ext import MorphableBasis, importance_weights, vertex_distance_cost

from ..arguments import flag
from ..geometry.constants import constant
from ..morphable import Whitening
from .per_face import (
    POINT_WEIGHTS,
    mixed_values,
    pairs,
    point_values,
    side_values,
    side_weights,
    squares,
    uniform_weights,
)


def parameter_loss(
    basis: MorphableBasis,
    whitening: Whitening,
    predicted: Tensor,
    target: Tensor,
    *,
    space: str = "3d",
    normalize: str = "sum",
    importance: bool = True,
) -> Tensor:
    """L3d = (a* - a^)^T W (a* - a^), W the importance of each parameter for the landmarks.

    The difference is taken on whitened parameters, the importance on plain ones. `w_i` is how far the
    landmarks move when parameter i alone is taken from the prediction; it is a constant for the gradient.
    `space` and `normalize` are those of `twodasl_ext.importance_weights`: with `space="3d"` t_z has weight 0,
    with "2d" the whole third row of the pose. Without `importance` all other parameters count alike: W is the
    identity over their number ("sum") or the identity ("max").

    Args:
        predicted, target: (B, 12+K).
    """
    if flag(importance, "importance"):
        weights = importance_weights(basis, predicted, target, space=space, normalize=normalize)
    else:
        weights = uniform_weights(predicted, space, normalize)
    return squares(predicted, target, whitening.std, weights).mean()


def landmark_consistency_2d(
    predicted: Tensor, observed: Tensor, visible: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """L2d-con = 1/N sum_i v_i ||x_i - y_i||^2 over the N = 18 points, or AFLW's 21, v in ratio 4:2:1.

    Args:
        predicted: (B, N, 2) projected landmarks, crop pixels.
        observed: (B, N, 2) the landmarks of the photograph.
        visible: (B, N) bool; a point that was not annotated counts nothing (N stays). None: all are.
        weights: (N,) the v_i. None takes EIGHTEEN_WEIGHTS or TWENTY_ONE_WEIGHTS: 4 nose tip and mouth
            center, 2 eye centers and mouth corners, 1 the rest.
    """
    if weights is None:
        weights = constant(POINT_WEIGHTS[predicted.shape[-2]], predicted.device, predicted.dtype)
    weights = weights.to(predicted)
    if visible is not None:
        weights = weights * visible
        # Not annotated often means NaN, and 0 * NaN is NaN.
        observed = torch.where(visible[..., None], observed, predicted.detach())
    return (weights * (predicted - observed).square().sum(dim=-1)).mean()


def consistency(
    first: Tensor, second: Tensor, observed: Tensor, visible: Tensor, *, equal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """L2d-con, L3d-con and Lcyc of both passes in one expression: the sides of a triangle.

    Up to rounding they are `landmark_consistency_2d` of the first pass, `landmark_consistency_3d` of both,
    and `cycle_loss` of the second.

    Args:
        first, second: (B, N, 3) the landmarks of the two passes, crop pixels (x, row, z).
        observed: (B, N, 2) the landmarks of the photograph.
        visible: (B, N) bool; a point that was not annotated counts nothing (N stays).
        equal: whether L2d-con has `equal_weights` in place of 4:2:1.
    """
    weights = side_weights(first, flag(equal, "equal"))
    plane, space, cycle = side_values(torch.cat([first, second]), observed, visible, weights).mean(1).unbind()
    return plane, space, cycle


def landmark_consistency_3d(forward: Tensor, backward: Tensor) -> Tensor:
    """L3d-con: mean squared distance of the 3D landmarks (B, L, 3) of the first and the second pass."""
    return (forward - backward).square().sum(dim=-1).mean()


def equal_weights(like: Tensor) -> Tensor:
    """Weights for points (..., N, D), N = 18 or 21, all alike, with the sum of those of the paper's ratio."""
    weights = POINT_WEIGHTS[like.shape[-2]]
    return constant((sum(weights) / len(weights),) * len(weights), like.device, like.dtype)


def cycle_loss(observed: Tensor, projected: Tensor, visible: Tensor | None = None) -> Tensor:
    """Lcyc: mean squared distance of the input's landmarks and those of the second pass.

    Args:
        observed: (B, N, 2) what the first pass was given.
        projected: (B, N, 2) what the second pass, which saw only the first one's landmarks, projects to.
        visible: (B, N) bool, as for `landmark_consistency_2d`; the weights there are 4:2:1, here all 1.
    """
    return landmark_consistency_2d(projected, observed, visible, projected.new_ones(observed.shape[1]))


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's side of Lsc: minus `E log C(z*, a*) + E log(1 - C(z, R(I)))`.

    Args:
        real: (B,) *logits* of ground-truth parameters with the code of their image.
        fake: (B',) logits of regressed parameters, which must be detached from the regressor.
    """
    # -log sigmoid(x) = softplus(-x) and -log(1 - sigmoid(x)) = softplus(x), without overflow.
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def self_critic_loss(fake: Tensor, form: str = "saturating") -> Tensor:
    """The regressor's side of Lsc.

    Args:
        fake: (B,) logits of regressed parameters.
        form: "saturating" minimizes `E log(1 - C)`, the paper's minimax game, whose gradient vanishes where
            the critic is sure; "non-saturating" minimizes `-E log C`, which has the same fixed point and a
            gradient there (Goodfellow et al., arXiv 1406.2661, section 3).
    """
    if form not in ("saturating", "non-saturating"):
        raise ValueError(f"form: expected 'saturating' or 'non-saturating', got {form!r}")
    return -F.softplus(fake).mean() if form == "saturating" else F.softplus(-fake).mean()


def point_likelihood(
    points: Tensor, variance: Tensor, target: Tensor, visible: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood of places under isotropic normal distributions, without its constant. Ours.

        mean_i ||x_i - y_i||^2 / (2 s_i) + log s_i        over the visible points of a face

    and the mean of that over faces, so that it is also the mean over the parts of a batch.

    Args:
        points, variance: (B, P, 2) crop pixels, (B, P) s_i, their variance along either axis.
        target: (B, P, 2); what is not visible may be NaN.
        visible: (B, P) bool; None: all are.
    """
    return point_values(points, variance, target, visible).mean()


def mixed_likelihood(
    points: Tensor, sigma: Tensor, known: Tensor, observed: Tensor, visible: Tensor
) -> Tensor:
    """`point_likelihood` of 68 points of faces of two kinds, the mean over all of them.

    The mean of several points has the mean of their variances: neighbors err together.

    Args:
        points, sigma: (A + B, 68, 2) crop pixels, (A + B, 68) standard deviations along either axis.
        known: (A, 68, 2) the places of the first faces' points.
        observed: (B, 18, 2) of the others the paper's 18; what is not visible may be NaN.
        visible: (B, 18) bool.
    """
    values = mixed_values(points, sigma, known, observed, visible, pairs(points))
    return values.sum() / len(points)


def vertex_loss(
    basis: MorphableBasis, predicted: Tensor, target: Tensor, *, ignore_depth: bool = True
) -> Tensor:
    """The vertex distance cost of stage 2: mean over vertices and faces of ||V(p^) - V(p*)||^2 in px^2.

    Exact, at a cost that does not depend on the number of vertices. `ignore_depth` takes the target's t_z for
    both, as 3DDFA does.
    """
    return vertex_values(basis, predicted, target, ignore_depth=ignore_depth).mean()


def vertex_values(
    basis: MorphableBasis, predicted: Tensor, target: Tensor, *, ignore_depth: bool = True
) -> Tensor:
    """(B,) what each face gives to `vertex_loss`."""
    return vertex_distance_cost(basis, predicted, target, ignore_depth=ignore_depth)
