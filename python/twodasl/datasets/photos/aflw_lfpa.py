"""AFLW-LFPA (also AFLW-PIFA): 3,901 training photos of AFLW with 34 landmarks.

    Landmark.mat      phisTr (n, 102): 34 x, 34 y, 34 flags; a flag of 0 marks a landmark as hidden
    BoundingBox.mat   bboxesTr (n, 4): x y width height of the face
    TrainImages/      1.jpg, 2.jpg, ... in the order of the rows

The first 21 of the 34 are AFLW's, in AFLW's order; the 13 others have no counterpart among the points that
this project trains on and are left out. The test photos (`phisT`, TestImages) are what the literature
measures on and are not read. The box is another detector's: the crop is made about the landmarks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ..mat_files import read_variables
from .listing import Annotation, Scan

POINTS, KNOWN = 34, 21

_LANDMARKS, _IMAGES = "Landmark.mat", "TrainImages"


def scan(root: Path) -> Scan:
    """The training photos of such a folder."""
    file, images = root / _LANDMARKS, root / _IMAGES
    if not file.is_file() or not images.is_dir():
        raise InputError(f"{root}: expected AFLW-LFPA's {_LANDMARKS} and {_IMAGES}, found only one or none")
    table = read_variables(file, {"phisTr": (None, 3 * POINTS)})["phisTr"]

    def annotate(index: int) -> Annotation:
        x, y, flags = table[index].reshape(3, POINTS)[:, :KNOWN]
        visible = flags > 0.5
        points = np.stack([x, y], axis=1)
        # A hidden landmark may have a guessed position, or none.
        points[~visible & (points <= 0).any(axis=1)] = np.nan
        return Annotation(points, visible)

    names = tuple(f"{_IMAGES}/{number}.jpg" for number in range(1, len(table) + 1))
    return Scan(names, annotate, (file, images))
