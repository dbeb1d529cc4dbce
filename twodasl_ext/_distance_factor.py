"""The factor of a basis's second moments: how it is computed, checked and laid out for the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import check_device, check_tensor, shape_text
from ._packing import BLOCK, block_count


def feature_count(modes_count: int) -> int:
    """F, the number of features: mean and modes by component, and the constant 1."""
    return 3 * (modes_count + 1) + 1


def moment_factor(mean: Tensor, modes: Tensor, weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """R (min(N, F), F), upper triangular, with R^T R = sum_n w_n f_n f_n^T / sum_n w_n, in `dtype`.

    Of mean (N, 3), modes (K, N, 3) and weights (N,) in float64 or None for equal ones. By a QR decomposition
    in double precision, not from the moments themselves, whose condition number is the square.
    """
    # Never an inference tensor, even in inference mode: it is kept, and later calls save it for backward.
    with torch.inference_mode(False), torch.no_grad():
        mean = mean.to(torch.float64)
        rows = torch.cat((mean[None], modes.to(torch.float64)))
        features = torch.cat((rows.transpose(0, 1).flatten(1), mean.new_ones(len(mean), 1)), dim=1)
        if weights is not None:
            features *= (weights / weights.sum()).sqrt()[:, None]
        factor = torch.linalg.qr(features, mode="r").R
        if weights is None:
            factor = factor / len(mean) ** 0.5
        return factor.to(dtype)


def check_weights(weights: Tensor, vertices: int, device: torch.device) -> Tensor:
    """(N,) weights in float64, the largest of them 1. A traced graph does not look at their values."""
    check_tensor(weights, "weights")
    if weights.dtype.is_complex:
        raise TypeError(f"weights: expected real numbers or bool, got {weights.dtype}")
    if weights.shape != (vertices,):
        raise ValueError(
            f"weights: expected ({vertices},) for a basis of {vertices} vertices, got {shape_text(weights)}"
        )
    check_device(weights, "weights", device)
    weights = weights.detach().to(torch.float64)
    if not torch.compiler.is_compiling() and weights.device.type != "meta":
        wrong = ~((weights >= 0) & (weights < torch.inf))
        if wrong.any():
            n = int(wrong.nonzero()[0])
            raise ValueError(
                f"weights: expected finite numbers, not negative, got {weights[n].item()} at vertex {n}"
            )
        if not weights.any():
            raise ValueError("weights: expected at least one that is not zero, got none")
    return weights / weights.amax()


def pack_factor(factor: Tensor) -> Tensor:
    """(rows, F) -> (2, width, width): R, then R^T, zeros in the rest; width is F in whole blocks of 16."""
    rows, features = factor.shape
    width = block_count(features) * BLOCK
    with torch.inference_mode(False), torch.no_grad():
        upper = torch.nn.functional.pad(factor, (0, width - features, 0, width - rows))
        return torch.stack((upper, upper.T))


def factor_and_layout(mean: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """The factor for equal weights in the mean's dtype, plain and in the kernels' layout."""
    factor = moment_factor(mean, modes, None, mean.dtype)
    return factor, pack_factor(factor)


def check_factor(factor: object, modes_count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Checks a caller's factor: (rows, F), upper triangular, of the basis's dtype and device."""
    tensor = check_tensor(factor, "factor")
    features = feature_count(modes_count)
    if tensor.dim() != 2 or tensor.shape[1] != features or tensor.shape[0] > features:
        raise ValueError(
            f"factor: expected (at most {features}, {features}) for a basis of {modes_count} modes, as "
            f"basis.distance_factor() gives it, got {shape_text(tensor)}"
        )
    if tensor.dtype != dtype:
        raise TypeError(f"factor: expected {dtype} like the basis, got {tensor.dtype}")
    if tensor.requires_grad:
        raise ValueError("factor: is a constant, got one that requires a gradient; detach it")
    check_device(tensor, "factor", device)
    return tensor


def check_triangle(factor: Tensor) -> None:
    """ValueError unless upper triangular: the kernels read no other entry."""
    if factor.device.type != "meta" and factor.tril(-1).any():
        raise ValueError(
            "factor: expected an upper triangular matrix, as basis.distance_factor() gives it, "
            "got numbers below the diagonal"
        )
