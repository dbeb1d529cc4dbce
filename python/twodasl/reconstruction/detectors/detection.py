"""What every detector says of a face, and what every detector is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...geometry.crops import Crop


@dataclass(frozen=True, eq=False)
class Detection:
    """A face in an image, in its pixels with pixel centers at integers.

    Attributes:
        crop: the square for the network.
        score: how sure the detector is, 0 to 1; None: it does not say.
        five: (5, 2) float64, the points of `landmarks.five_points`; None: it gives none.
        landmarks: (68, 2) float64, iBUG's points; None: it gives none.
    """

    crop: Crop
    score: float | None = None
    five: NDArray[np.float64] | None = None
    landmarks: NDArray[np.float64] | None = None


class Detector(Protocol):
    """Finds faces in an image.

    Attributes:
        name: what `FaceInput.detector` calls it.
        sure: the score from which a photo's best face is taken for upright without looking at the photo
            turned; None: photos are not turned for this detector.
    """

    @property
    def name(self) -> str: ...

    @property
    def sure(self) -> float | None: ...

    def __call__(self, image: NDArray[np.uint8]) -> list[Detection]:
        """The faces in an image (H, W, 3) uint8 BGR, in any order."""
        ...
