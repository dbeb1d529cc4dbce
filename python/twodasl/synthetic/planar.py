"""Arithmetic on vectors stored by component, (3, n): contiguous, which numpy handles fast.

Sums use einsum, never BLAS: BLAS may round differently with another number of threads, and a sample's bits
must not depend on it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def planar(rows: NDArray[np.floating]) -> Floats:
    """(n, 3) to (3, n) float32, copied."""
    return np.ascontiguousarray(rows.T, dtype=np.float32)


def turned(matrix: NDArray[np.floating], vectors: Floats) -> Floats:
    """matrix (3, 3) times each of (3, n)."""
    return np.einsum("ck,kn->cn", matrix.astype(np.float32), vectors)


def dot(direction: NDArray[np.floating], vectors: Floats) -> Floats:
    """(n,) inner products of one direction (3,) with (3, n)."""
    return np.einsum("k,kn->n", direction.astype(np.float32), vectors)


def mixed(weights: NDArray[np.floating], fields: Floats) -> Floats:
    """(n,) weighted sum of fields (k, n)."""
    return np.einsum("k,kn->n", weights.astype(np.float32), fields)


def mean_under(mask: Floats, values: Floats) -> NDArray[np.float64]:
    """Mean of values (..., n) weighted by mask (n,)."""
    return np.einsum("n,...n->...", mask, values).astype(np.float64) / max(float(mask.sum()), 1e-6)


def cross(a: Floats, b: Floats) -> Floats:
    """(3, n)"""
    result = np.empty_like(a)
    for row, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        np.multiply(a[i], b[j], out=result[row])
        result[row] -= a[j] * b[i]
    return result


def normalized(vectors: Floats) -> Floats:
    """(3, n) at unit length; zero vectors stay zero."""
    squares = vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]
    return vectors / np.maximum(np.sqrt(squares, out=squares), np.float32(1e-12))
