"""scikit-image's local-binary-pattern cascade: upright, frontal faces as boxes, without a score.

Its file is part of scikit-image. It finds faces up to about 30 degrees of yaw.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geometry.crops import Crop
from .detection import Detection

# The cascade's square box -> the crop that landmarks would give: how far the center moves down and how much
# the side grows, in widths of the box. Medians over faces of AFLW2000-3D with |yaw| < 30 degrees; half of
# them are within 6 % of a width of that in place and within 11 % in size.
_DOWN, _SIDE = 0.147, 1.28

# Overlapping windows that make a face: a photo is searched again with the smaller number where the larger one
# finds nothing. A face must also be found in the mirrored photo, overlapping by _SAME: that halved the wrong
# boxes, at the price of a few faces that are now reported as not found.
_WINDOWS = (12, 3)
_SAME = 0.4
_LONG_SIDE = 640  # larger photos are searched in reduced form
_SMALLEST = 0.07  # smallest face searched for, relative to the longer side


class CascadeDetector:
    """A `Detector` that gives boxes alone."""

    name = "cascade"
    sure = None

    def __call__(self, image: NDArray[np.uint8]) -> list[Detection]:
        """See `Detector`."""
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        reduction = max(1.0, max(gray.shape) / _LONG_SIDE)
        if reduction > 1:
            height, width = gray.shape
            reduced = (max(1, round(width / reduction)), max(1, round(height / reduction)))
            gray = np.asarray(cv2.resize(gray, reduced, interpolation=cv2.INTER_AREA), np.uint8)
        # The reduced photo may be a fraction of a pixel off the ratio along one side: use each side's own.
        scale_x, scale_y = image.shape[1] / gray.shape[1], image.shape[0] / gray.shape[0]
        faces = []
        for left, top, width in _agreed(gray):
            width *= scale_x
            x = left * scale_x + width / 2
            y = top * scale_y + width / 2 + _DOWN * width
            half = _SIDE * width / 2
            faces.append(Detection(Crop(x - half, y - half, x + half, y + half)))
        return faces


def _agreed(gray: NDArray[np.uint8]) -> list[tuple[float, float, float]]:
    """Boxes (left, top, width) found both in the picture and in its mirror image, the mean of the two."""
    mirrored = np.ascontiguousarray(gray[:, ::-1])
    for windows in _WINDOWS:
        found, twins = _search(gray, windows), _search(mirrored, windows)
        twins = [(gray.shape[1] - left - width, top, width) for left, top, width in twins]
        both = []
        for box in found:
            twin = max(twins, key=lambda other: _overlap(box, other), default=None)
            if twin is not None and _overlap(box, twin) > _SAME:
                both.append(tuple(np.mean([box, twin], axis=0).tolist()))
        if both:
            return both
    return []


def _search(gray: NDArray[np.uint8], windows: int) -> list[tuple[float, float, float]]:
    # The cascade's window is 24 pixels; smaller faces cannot be found.
    smallest = max(24, round(_SMALLEST * max(gray.shape)))
    if min(gray.shape) < smallest:
        return []
    found = _cascade().detect_multi_scale(
        img=gray,
        scale_factor=1.1,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=gray.shape,
        min_neighbor_number=windows,
    )
    return [(float(box["c"]), float(box["r"]), float(box["width"])) for box in found]


def _overlap(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """Intersection over union of two boxes (left, top, width)."""
    (a, b, c), (x, y, z) = first, second
    across = max(0.0, min(a + c, x + z) - max(a, x))
    down = max(0.0, min(b + c, y + z) - max(b, y))
    return across * down / (c * c + z * z - across * down)


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
