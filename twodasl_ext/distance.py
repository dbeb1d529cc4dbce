"""vertex_distance_cost: mean squared vertex distance at a cost independent of the number of vertices."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _load  # noqa: F401  (registers the operators)
from ._checks import check_parameters
from .basis import MorphableBasis
from .vertices import vertices


def vertex_distance_cost(
    basis: MorphableBasis, predicted: Tensor, target: Tensor, *, ignore_depth: bool = False
) -> Tensor:
    """Mean over all vertices of ||V(predicted) - V(target)||^2.

    Args:
        basis: N vertices, K modes.
        predicted: (B, 12 + K), `[pose row-major 3x4 | coefficients]`, not whitened.
        target: (B, 12 + K).
        ignore_depth: take the target's t_z for both, as 3DDFA does: nothing in an image supervises it.

    Returns:
        (B,) of the basis's dtype, in the pose's target unit squared. Gradients flow to `predicted` and
        `target`.

    The difference of two shapes is linear in products of parameter *differences* (M - M*, c - c*, t - t*),
    so close predictions do not cancel; and the sum over vertices is the squared norm of those products
    under the basis's distance factor, computed once (`basis.distance_factor()`). A basis that is being
    trained has no constant factor: then both shapes are synthesised, and gradients reach the basis too.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.

    Source: Zhu et al., 3DDFA (arXiv 1804.01005), the Vertex Distance Cost; 2DASL fine-tunes with it.
    """
    predicted, target = check_parameters(predicted, target, basis.mode_count, basis.dtype, basis.device)
    batch = predicted.shape[0]
    pose, pose_target = predicted[:, :12].reshape(batch, 3, 4), target[:, :12].reshape(batch, 3, 4)
    c, c_target = predicted[:, 12:], target[:, 12:]
    if ignore_depth:
        keep = pose.new_ones(3, 4)
        keep[2, 3] = 0
        pose = pose * keep
        pose_target = pose_target * keep
    if basis.trained:
        difference = vertices(basis, c, pose) - vertices(basis, c_target, pose_target)
        return difference.square().sum(dim=2).mean(dim=1)
    # V - V* = (M - M*) S(c) + M* (S(c) - S(c*)) + t - t*: row r is linear in the features
    # (mean, modes, 1) with the coefficients of a (3 (K + 1) + 1)-vector.
    turn, turn_target = pose[:, :, None, :3], pose_target[:, :, None, :3]
    one = torch.nn.functional.pad(c, (1, 0), value=1.0)[:, None, :, None]
    step = torch.nn.functional.pad(c - c_target, (1, 0), value=0.0)[:, None, :, None]
    features = ((turn - turn_target) * one + turn_target * step).flatten(2)
    features = torch.cat((features, pose[:, :, 3:] - pose_target[:, :, 3:]), dim=2)
    return (features @ basis.distance_factor().T).square().sum(dim=(1, 2))
