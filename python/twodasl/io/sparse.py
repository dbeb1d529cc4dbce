"""Sparse matrices of other programs' files as dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1 << 27
"""Bytes of a dense matrix; a joint regressor of 55 joints has 5 MB."""


def dense_from_columns(shape: Any, data: Any, indices: Any, starts: Any) -> NDArray[Any]:
    """A matrix of compressed columns: column c has entries `starts[c]` to `starts[c + 1]` in rows `indices`.

    Raises ValueError for parts that are no such matrix, or one beyond `LARGEST` bytes.
    """
    if not all(isinstance(part, np.ndarray) and part.ndim == 1 for part in (data, indices, starts)):
        raise ValueError("a sparse matrix without its numbers")
    rows, columns = (int(size) for size in shape)
    if min(rows, columns) < 0 or rows * columns * data.itemsize > LARGEST:
        raise ValueError(f"a sparse matrix of shape ({rows}, {columns}), which is too large")
    if indices.dtype.kind not in "iu" or starts.dtype.kind not in "iu" or len(starts) != columns + 1:
        raise ValueError("a sparse matrix whose columns do not fit its shape")
    counts = np.diff(starts.astype(np.int64))
    if starts[0] != 0 or (counts < 0).any() or not int(starts[-1]) == len(data) == len(indices):
        raise ValueError("a sparse matrix whose columns do not fit its numbers")
    if len(indices) and (indices.min() < 0 or indices.max() >= rows):
        raise ValueError("a sparse matrix with an entry outside of its rows")
    dense = np.zeros((rows, columns), data.dtype)
    np.add.at(dense, (indices.astype(np.int64), np.repeat(np.arange(columns), counts)), data)
    return dense
