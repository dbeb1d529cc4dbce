"""vertices as one would write it in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def vertices(mean: Tensor, modes: Tensor, coefficients: Tensor, pose: Tensor) -> Tensor:
    """M (mean + sum_k c_k modes_k) + t: (N, 3), (K, N, 3), (B, K), (B, 3, 4) -> (B, N, 3)."""
    batch, (modes_count, count, _) = coefficients.shape[0], modes.shape
    flat = torch.addmm(mean.reshape(1, -1), coefficients, modes.reshape(modes_count, count * 3))
    return torch.baddbmm(pose[:, None, :, 3], flat.reshape(batch, count, 3), pose[:, :, :3].transpose(1, 2))
