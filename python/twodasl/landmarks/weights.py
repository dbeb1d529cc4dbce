"""The points of a scheme as means of the 68."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .schemes import eighteen_from_68, twenty_one_from_68

_FROM_68: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    68: np.copy,
    21: twenty_one_from_68,
    18: eighteen_from_68,
}


def weights_from_68(count: int) -> NDArray[np.float64]:
    """(count, 68) weights whose product with the 68 points are those of the scheme of 68, 21 or 18.

    Rows sum to 1; those of points that the 68 do not have, AFLW's ears, are NaN. Raises ValueError for
    another number of points.
    """
    if count not in _FROM_68:
        raise ValueError(f"count: expected 68, 21 or 18 points, got {count}")
    return np.asarray(_FROM_68[count](np.eye(68)), np.float64)
