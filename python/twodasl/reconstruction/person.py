"""One person, reconstructed from several photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..morphable import MorphableModel

if TYPE_CHECKING:
    from .reconstruction import Reconstruction


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        faces: a reconstruction for each photo, in the order in which they were given; their shapes are equal.
        shape: (Ks,) float32, the coefficients that they share.
        contradicts: for each photo, whether its face is not that of the others, see `PersonFit`.
        left_out: for each photo, whether it therefore had no say in the shape.
    """

    faces: list[Reconstruction]
    shape: NDArray[np.float32]
    contradicts: tuple[bool, ...]
    left_out: tuple[bool, ...]

    def neutral(self, model: MorphableModel) -> NDArray[np.float32]:
        """(N, 3) vertices of the face without expression, in the model's own space: millimeters, +y up."""
        rest = np.zeros(len(model.coefficient_std) - len(self.shape), np.float32)
        return model.shape(np.concatenate([self.shape, rest]))
