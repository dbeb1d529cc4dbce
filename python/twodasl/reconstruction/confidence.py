"""What speaks for and against a reconstructed face: the network's own sigma, and the fit's residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..training.confidence import Clues
from .face_network import Said
from .landmark_fit import OUTLINE

_INNER = slice(len(OUTLINE), 68)


def clues_of(said: Said, landmarks: Tensor, given: Sequence[NDArray[np.floating] | None]) -> list[Clues]:
    """The clues of B faces.

    Args:
        said: what the network says of them, with points of its own, which did not see the landmarks given.
        landmarks: (B, 68, 2 or 3) crop pixels, the result's.
        given: (68, 2) crop pixels each, those that came with the face; None where none came.
    """
    marks = landmarks[..., :2].double()
    extent = (marks.amax(1) - marks.amin(1)).clamp_min(1.0)
    size = extent.prod(1).sqrt()
    sigma = said.sigma.double().square().mean(1).sqrt() / size
    own = said.points.double()
    residual = (own - marks).norm(dim=2).mean(1) / size
    clues = []
    for row, points in enumerate(given):
        apart = None
        if points is not None:
            away = own[row, _INNER].cpu().numpy() - points[_INNER]
            apart = float(np.linalg.norm(away, axis=1).mean()) / float(size[row])
        clues.append(Clues(float(sigma[row]), float(residual[row]), apart))
    return clues
