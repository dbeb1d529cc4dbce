"""importance_weights: how far each parameter's error moves the landmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from ._arguments import shown
from ._checks import check_parameters
from ._dispatch import constants
from ._operator import operator
from ._vmap import fold
from .basis import MorphableBasis


def importance_weights(
    basis: MorphableBasis, predicted: Tensor, target: Tensor, *, space: str = "3d", normalize: str = "sum"
) -> Tensor:
    """w_i = |p_i - p*_i| ||dH/dp_i||, normalized; H gives the posed landmarks, at the target parameters.

    H is linear in any single parameter, so this equals the distance that the landmarks move when parameter
    i alone is replaced by its prediction: 3DDFA's WPDC weights and the W of 2DASL's L3d, without
    reconstructing 12 + K times.

    Args:
        basis: with landmarks.
        predicted: (B, 12 + K), `[pose row-major 3x4 | coefficients]`, not whitened.
        target: (B, 12 + K), the ground truth.
        space: "3d" measures in space and gives t_z weight 0 (as 3DDFA does); "2d" measures in the image
            plane and gives the whole third pose row weight 0.
        normalize: "sum" divides by the sum of the weights (all zeros when prediction and target agree),
            "max" by their maximum plus 1e-6.

    Returns:
        (B, 12 + K) of the basis's dtype. Weights are constants: no gradient flows through them.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.

    Source: Zhu et al., 3DDFA (arXiv 1804.01005), the Weighted Parameter Distance Cost; Tu et al., 2DASL
    (arXiv 1903.09359), the weighted coefficient loss.
    """
    if space not in ("2d", "3d"):
        raise ValueError(f"space: expected '2d' or '3d', got {shown(space)}")
    if normalize not in ("sum", "max"):
        raise ValueError(f"normalize: expected 'sum' or 'max', got {shown(normalize)}")
    mean, modes, count = basis.packed_landmarks()
    predicted, target = check_parameters(predicted, target, modes.shape[1], mean.dtype, mean.device)
    mean, modes, predicted, target = constants("importance_weights", mean, modes, predicted, target)
    return _run(mean, modes, count, predicted, target, space == "2d", normalize == "max")


@operator("importance_weights", vmap=fold(faces=(3, 4)))
def _run(
    mean: Tensor, modes: Tensor, count: int, predicted: Tensor, target: Tensor, planar: bool, by_maximum: bool
) -> Tensor:
    return torch.empty_like(predicted, memory_format=torch.contiguous_format)
