"""landmarks as rows of the basis."""

from __future__ import annotations

from torch import Tensor

from .vertices import vertices


def landmarks(mean: Tensor, modes: Tensor, indices: Tensor, coefficients: Tensor, pose: Tensor) -> Tensor:
    """Posed landmark vertices, (B, L, 3)."""
    return vertices(mean[indices], modes[:, indices], coefficients, pose)
