"""Comparing the geometry of two face models, up to the rounding of the machines that computed them.

A computed model (a conversion, or the embedded head before it was shipped as a file) differs in the last bits
between processors, and a hash of the bits would reject a checkpoint from another machine. A sketch consists
of a few random sums over all vertices. It is equal up to rounding for equal models, and far off if any
vertex, mode, or numbering differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .model import MorphableModel

_SUMS = 8

TOLERANCE = 0.03
"""Largest difference between two sketches of the same geometry, in millimeters. Single-precision rounding of
tens of thousands of vertices adds up to a tenth of it; the heads computed by earlier versions differ from the
shipped one by up to 0.028, from diagonals deep in the eye sockets that rounding chose; moving one vertex by a
twentieth of a millimeter exceeds it.
"""


def sketch(model: MorphableModel) -> NDArray[np.float64]:
    """(1+K, 8, 3) float64: sums of mean and modes over all vertices, each with random signs, in millimeters.

    The last sum covers only the 68 landmarks, so that other landmark indices give another sketch.
    """
    # RandomState's stream is frozen: the same signs with every NumPy version.
    signs = np.random.RandomState(20190322).choice((-1.0, 1.0), (_SUMS, len(model.mean)))
    signs[-1] = 0.0
    np.add.at(signs[-1], model.landmarks, np.arange(1, len(model.landmarks) + 1) / len(model.landmarks))
    fields = np.concatenate([model.mean[None], model.modes]).astype(np.float64)
    return np.einsum("sn,knd->ksd", signs, fields, optimize=True)


def same_geometry(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two sketches belong to the same geometry."""
    return first.shape == second.shape and bool((np.abs(first - second) <= TOLERANCE).all())
