"""The parameter vector `[3x4 row-major pose | coefficients]` and its whitening."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POSE_SIZE = 12


def split_parameters(parameters: Tensor, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Split parameter vectors into pose and coefficients.

    Args:
        parameters: (..., 12+K), not whitened.
        count: K, if the caller knows it; vectors of another length are then rejected.

    Returns:
        pose (..., 3, 4) and coefficients (..., K), both views. Differentiable.
    """
    size = parameters.shape[-1] if parameters.ndim else 0
    if size < POSE_SIZE or (count is not None and size != POSE_SIZE + count):
        expected = "12+K" if count is None else f"{POSE_SIZE}+{count}"
        raise ValueError(f"parameters: expected (..., {expected}), got {tuple(parameters.shape)}")
    pose = parameters[..., :POSE_SIZE]
    return pose.reshape(*pose.shape[:-1], 3, 4), parameters[..., POSE_SIZE:]


def join_parameters(pose: Tensor, coefficients: Tensor) -> Tensor:
    """Join a pose (..., 3, 4) and coefficients (..., K) to parameter vectors (..., 12+K). Differentiable."""
    if pose.shape[-2:] != (3, 4):
        raise ValueError(f"pose: expected (..., 3, 4), got {tuple(pose.shape)}")
    return torch.cat([pose.reshape(*pose.shape[:-2], POSE_SIZE), coefficients], -1)


class Whitening(nn.Module):
    """Whitens parameter vectors entry by entry: networks regress `(p - mean) / std`.

    Args:
        mean, std: (12+K,) floating tensors; every std is positive.

    Both are buffers: `state_dict()` holds plain tensors, `.to(device)` moves them, and nothing is trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        mean, std = (torch.as_tensor(value, dtype=torch.float32).detach().clone() for value in (mean, std))
        if mean.ndim != 1 or mean.shape != std.shape or len(mean) < POSE_SIZE:
            got = f"{tuple(mean.shape)} and {tuple(std.shape)}"
            raise ValueError(f"mean, std: expected two vectors of one length, {POSE_SIZE}+K, got {got}")
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and bool((std > 0).all())):
            raise ValueError("mean, std: expected finite numbers and positive standard deviations")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def from_samples(cls, parameters: Tensor, minimum_std: float = 1e-6) -> Whitening:
        """The whitening of samples (n, 12+K), n >= 2; entries with almost no variation get `minimum_std`."""
        if parameters.ndim != 2 or len(parameters) < 2:
            raise ValueError(f"parameters: expected (n, 12+K) with n >= 2, got {tuple(parameters.shape)}")
        samples = parameters.double()
        return cls(samples.mean(0).float(), samples.std(0).clamp_min(minimum_std).float())

    def whiten(self, parameters: Tensor) -> Tensor:
        """(..., 12+K) parameters -> whitened, same shape. Differentiable."""
        return (parameters - self.mean) / self.std

    def unwhiten(self, whitened: Tensor) -> Tensor:
        """(..., 12+K) whitened -> parameters, same shape. Differentiable."""
        return torch.addcmul(self.mean, whitened, self.std)

    def forward(self, parameters: Tensor) -> Tensor:
        return self.whiten(parameters)
