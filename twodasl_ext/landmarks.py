"""landmarks: posed positions of a few vertices; only those are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ._arguments import as_indices
from ._checks import check_coefficients_and_pose, check_indices
from .basis import MorphableBasis
from .vertices import synthesize


def landmarks(
    basis: MorphableBasis,
    coefficients: Tensor,
    pose: Tensor,
    indices: Tensor | np.ndarray | Sequence[int] | None = None,
) -> Tensor:
    """Posed landmark vertices, `vertices(...)[:, indices]` at the cost of those vertices.

    Args:
        basis: N vertices, K modes, L landmarks.
        coefficients: (B, K) of the basis's dtype (half precision is promoted).
        pose: (B, 3, 4), rows of `M | t`.
        indices: (L,) integer vertex indices, a tensor, array or list; None takes the basis's landmarks, whose
            rows are already packed.

    Returns:
        (B, L, 3) of the basis's dtype. Gradients as for `vertices`.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """
    if indices is None:
        mean, modes, count = basis.packed_landmarks()
    else:
        rows = check_indices(as_indices(indices, "indices"), basis.vertex_count, "indices").to(basis.device)
        mean, modes = basis.packed_rows(rows)
        count = rows.shape[0]
    coefficients, pose = check_coefficients_and_pose(
        coefficients, pose, modes.shape[1], mean.dtype, mean.device
    )
    return synthesize(mean, modes, count, coefficients, pose)
