"""Detectors that are an ONNX network with five points a face: the search at several sizes, and the crops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...landmarks.five_points import crop_from_five
from ..face_input import MIN_BOX
from .detection import Detection
from .onnx_network import OnnxNetwork

Floats = NDArray[np.float64]

# The longer side of what is searched. Small photos are enlarged: of faces that fill a picture of 90 pixels,
# 98 % are found so and 92 % as they are.
_LONG_SIDE, _SHORTEST = 640, 320
# Where the largest face takes less than this part of the longer side, or none is found, a larger photo is
# searched once more with the finer side: that finds the small faces of a crowd.
_FINE_SIDE, _SMALL = 1600, 1 / 6
_SAME = 0.4  # boxes that overlap by more are the same face
_STRIDE = 32  # the sides of what the networks see are multiples of it


class Boxes(NamedTuple):
    """Faces in an image whose pixels' edges lie at integers.

    boxes: (n, 4) x0 y0 x1 y1. scores: (n,). points: (n, 5, 2).
    """

    boxes: Floats
    scores: Floats
    points: Floats


class FivePointDetector(ABC):
    """A `Detector` that is a network; what the network is given and what it says is its family's.

    Args:
        network: the network.
        name: what the faces' `detector` says.
        threshold: faces with a smaller score are not faces.
    """

    sure: float | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Blue, green and red of what the network takes for nothing; it is subtracted before the network."""

    def __init__(self, network: OnnxNetwork, name: str, threshold: float) -> None:
        self.network, self.name, self.threshold = network, name, threshold

    @abstractmethod
    def decoded(self, outputs: list[NDArray[np.floating]], width: int, height: int) -> Boxes:
        """All boxes of the network's outputs for an image of this size, a multiple of 32 each way.

        Raises InputError where the outputs are not those of such a network.
        """

    def __call__(self, image: NDArray[np.uint8]) -> list[Detection]:
        """See `Detector`. Raises InputError where the network fails."""
        longer = max(image.shape[:2])
        found = self._at(image, float(np.clip(longer, _SHORTEST, _LONG_SIDE)))
        largest = float(np.ptp(found.boxes.reshape(-1, 2, 2), axis=1).max(initial=0))
        if longer > 1.25 * _LONG_SIDE and largest < _SMALL * longer:
            finer = self._at(image, min(longer, _FINE_SIDE))
            found = _best(Boxes(*(np.concatenate(both) for both in zip(found, finer, strict=True))))
        return [face for row in range(len(found.scores)) if (face := _face(found, row))]

    def _at(self, image: NDArray[np.uint8], longer: float) -> Boxes:
        """The faces found with the image's longer side at so many pixels, in pixels of the image."""
        height, width = image.shape[:2]
        scale = longer / max(height, width)
        fixed = self.network.size
        if fixed is not None:
            scale = min(fixed[0] / width, fixed[1] / height)
        seen_width, seen_height = max(1, round(scale * width)), max(1, round(scale * height))
        to = fixed or (-(-seen_width // _STRIDE) * _STRIDE, -(-seen_height // _STRIDE) * _STRIDE)
        seen: NDArray[np.float32] = np.zeros((to[1], to[0], 3), np.float32)
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = _resized(image, seen_width, seen_height, kind)
        seen[:seen_height, :seen_width] = resized - np.array(self.mean, np.float32)
        found = self.decoded(self.network(seen.transpose(2, 0, 1)[None]), *to)
        kept = found.scores >= self.threshold
        boxes, scores, points = (values[kept] for values in found)
        if not (np.isfinite(boxes).all() and np.isfinite(points).all()):
            raise InputError(f"{self.network.source}: answers NaN or infinity; give another file")
        back = np.array([width / seen_width, height / seen_height])
        return _best(Boxes(boxes * np.tile(back, 2), scores, points * back))


def _resized(image: NDArray[np.uint8], width: int, height: int, kind: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=kind), np.uint8)


def _best(found: Boxes) -> Boxes:
    """One box a face, the one with the highest score."""
    rest = np.argsort(-found.scores, kind="stable")
    areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
    kept = []
    while rest.size:
        first, rest = rest[0], rest[1:]
        kept.append(first)
        low = np.maximum(found.boxes[rest, :2], found.boxes[first, :2])
        high = np.minimum(found.boxes[rest, 2:], found.boxes[first, 2:])
        common = (high - low).clip(0).prod(axis=1)
        rest = rest[common <= _SAME * (areas[rest] + areas[first] - common)]
    return Boxes(*(values[kept] for values in found))


def _face(found: Boxes, row: int) -> Detection | None:
    """A face with its crop, in pixels with their centers at integers; None where it is too small for one."""
    five = found.points[row] - 0.5
    try:
        crop = crop_from_five(five)
    except InputError:
        return None
    if crop.x1 - crop.x0 < MIN_BOX:
        return None
    return Detection(crop, float(found.scores[row]), five)
