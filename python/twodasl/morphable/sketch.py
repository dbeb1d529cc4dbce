"""Telling whether two face models are the same geometry, up to the rounding of the machines that built them.

A model that is computed (a conversion, or the embedded head before it was shipped as a file) has other last
bits on another processor; a hash of the bits would refuse a checkpoint that crossed machines. A sketch is a
few random sums of all vertices: equal for equal models to within rounding, and off by far more than that when
any vertex, mode or numbering differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .model import MorphableModel

_SUMS = 8

TOLERANCE = 0.03
"""Largest difference of two sketches of one geometry, millimeters. Single-precision rounding of tens of
thousands of vertices adds up to a tenth of it; the heads that earlier versions computed differ from the
shipped one by up to 0.028, from diagonals deep in the eye sockets that rounding chose; one vertex moved by a
twentieth of a millimeter exceeds it."""


def sketch(model: MorphableModel) -> NDArray[np.float64]:
    """(1+K, 8, 3) float64: sums of mean and modes over all vertices, each with random signs, in millimeters.

    The last sum runs over the 68 landmarks alone, so that other landmark indices are another sketch.
    """
    # RandomState's stream is frozen: the same signs with every version of numpy.
    signs = np.random.RandomState(20190322).choice((-1.0, 1.0), (_SUMS, len(model.mean)))
    signs[-1] = 0.0
    np.add.at(signs[-1], model.landmarks, np.arange(1, len(model.landmarks) + 1) / len(model.landmarks))
    fields = np.concatenate([model.mean[None], model.modes]).astype(np.float64)
    return np.einsum("sn,knd->ksd", signs, fields, optimize=True)


def same_geometry(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two sketches are of one geometry."""
    return first.shape == second.shape and bool((np.abs(first - second) <= TOLERANCE).all())
