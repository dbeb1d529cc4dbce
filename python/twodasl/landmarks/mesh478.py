"""The 478 points of MediaPipe's face mesh, and which of them are iBUG's 68."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIXTY_EIGHT_OF_478: tuple[int, ...] = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),  # contour
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
"""Indices into the mesh's 468 or 478 vertices, in iBUG's order."""


def sixty_eight_from_478(mesh: NDArray[Any]) -> NDArray[Any]:
    """The 68 points (..., 68, D) of meshes (..., 468 or 478, D); a copy of the same dtype."""
    return np.asarray(mesh)[..., list(SIXTY_EIGHT_OF_478), :]
