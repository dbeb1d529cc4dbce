"""nearest_rotation by the singular value decomposition."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_rotation(matrices: Tensor) -> Tensor:
    """(B, 3, 3) -> (B, 3, 3): U diag(1, 1, det(U V^T)) V^T of M = U S V^T (Kabsch)."""
    u, _, vh = torch.linalg.svd(matrices)
    signs = torch.ones_like(u[..., 0])
    signs[..., 2] = torch.linalg.det(u @ vh).sign()
    return (u * signs[..., None, :]) @ vh
