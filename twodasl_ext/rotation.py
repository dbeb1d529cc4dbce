"""nearest_rotation: the proper rotation that agrees best with a 3x3 matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import check_device, check_float, check_tensor, shape_text
from ._dispatch import constants
from ._operator import operator
from ._vmap import fold


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The rotation R that maximizes tr(R^T M), for each matrix M.

    For a cross-covariance M = sum_i (q_i - mean q) (p_i - mean p)^T it is the least-squares rotation of the
    points p onto q (Kabsch, Horn, Procrustes); for any M the nearest rotation in the Frobenius norm.

    Args:
        matrices: (B, 3, 3) or (3, 3), float32 or float64. Computed in float64 either way, by Horn's unit
            quaternion and Jacobi's method, without LAPACK.

    Returns:
        The same shape and dtype: orthonormal with determinant +1 whatever M is, reflections, rank 0, 1 and 2
        and repeated singular values included. Where several rotations are equally good, the one that turns
        least, if that is unique; the identity for the zero matrix. A matrix with NaN or infinity gives NaN
        and does not affect the others.

    The result is a constant: no gradient flows to `matrices`. The same bits for every number of threads.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.

    Source: Horn, "Closed-form solution of absolute orientation using unit quaternions", 1987.
    """
    matrices = check_tensor(matrices, "matrices")
    if matrices.dim() not in (2, 3) or matrices.shape[-2:] != (3, 3):
        raise ValueError(f"matrices: expected (B, 3, 3) or (3, 3), got {shape_text(matrices)}")
    check_float(matrices, "matrices")
    check_device(matrices, "matrices")
    (matrices,) = constants("nearest_rotation", matrices)
    if matrices.dim() == 2:
        return nearest_rotations(matrices[None])[0]
    return nearest_rotations(matrices)


@operator("nearest_rotation", vmap=fold(faces=(0,)))
def nearest_rotations(matrices: Tensor) -> Tensor:
    """The nearest rotations of (B, 3, 3) matrices, without checks or autograd."""
    return torch.empty_like(matrices, memory_format=torch.contiguous_format)
