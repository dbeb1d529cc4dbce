"""skin as one would write it in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def skin(vertices: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """sum_j w_nj (R_j v_n + t_j): (B, N, 3), (N, J), (B, J, 3, 4) or (B, J, 4, 4) -> (B, N, 3)."""
    blended = torch.einsum("nj,bjrc->bnrc", weights, transforms[:, :, :3])
    return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]
