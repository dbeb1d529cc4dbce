"""A face in a photo as the network is to see it: built once, from landmarks, a box or a detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import flag
from ..errors import InputError
from ..geometry.crops import SIZE, Crop, crop_from_landmarks
from ..io.images import check_image

MIN_BOX = 16.0
"""Smallest side of a crop box, in image pixels."""

MAX_BOX = 20.0
"""Largest side of a crop box, and of the square about the image that holds all landmarks, in the image's."""


@dataclass(frozen=True, eq=False)
class FaceInput:
    """A face in a photo, before the network sees it.

    Attributes:
        image: (H, W, 3) uint8 BGR, the photo.
        crop: the square of it that the network sees.
        landmarks: (68, 2) float64 image pixels for the landmark map; None: an empty map.
        recrop: whether the crop is only roughly right and follows the network's own landmarks.
        detector: which detector found the face; empty where landmarks or a box were given.
        score: how sure that detector is, 0 to 1; None where it does not say.
        quarters: by how many quarter turns counterclockwise the photo is turned before the network sees it,
            0 to 3, so that the head is upright. All coordinates are those of the photo as it is.
    """

    image: NDArray[np.uint8]
    crop: Crop
    landmarks: NDArray[np.float64] | None = None
    recrop: bool = False
    detector: str = ""
    score: float | None = None
    quarters: int = 0

    @classmethod
    def given(
        cls,
        image: NDArray[np.uint8],
        landmarks: ArrayLike | None = None,
        box: Sequence[float] | None = None,
        *,
        recrop: bool = False,
        landmarks_name: str = "landmarks",
        box_name: str = "box",
    ) -> FaceInput:
        """A face whose place somebody says; at least one of landmarks and box.

        Args:
            image: (H, W, 3) uint8 BGR.
            landmarks: (68, 2) image pixels, pixel centers at integers. Without a box they give the crop.
            box: x0 y0 x1 y1 in image pixels, made square about its center.
            recrop: True or False, as the attribute.
            landmarks_name, box_name: what messages call the two.

        Raises:
            InputError: an image, landmarks, a box or a flag that do not fit, naming which.
        """
        check_image(image)
        recrop = flag(recrop, "recrop")
        height, width = image.shape[:2]
        marks = None if landmarks is None else _landmarks(landmarks, width, height, landmarks_name)
        if box is not None:
            return cls(image, _square_crop(box, width, height, box_name), marks, recrop)
        if marks is not None:
            return cls(image, crop_from_landmarks(marks), marks, recrop)
        raise InputError(
            f"{landmarks_name}, {box_name}: a photo needs one of them to find the face;"
            " see twodasl.reconstruction.detect.find_faces"
        )

    def refined(self, own: NDArray[np.float64]) -> FaceInput:
        """The face with the network's own landmarks (68, 2); with `recrop` its crop follows them.

        Landmarks far from the crop or of another size, as of a network that has learned nothing, do not move
        it.
        """
        if not self.recrop or not np.isfinite(own).all():
            return replace(self, landmarks=own)
        crop, side = crop_from_landmarks(own), self.crop.x1 - self.crop.x0
        (x0, y0, x1, y1), (a0, b0, a1, b1) = crop.box, self.crop.box
        moved = math.hypot(x0 + x1 - a0 - a1, y0 + y1 - b0 - b1) / 2
        sensible = 0.6 < (x1 - x0) / side < 1.6 and moved < 0.4 * side
        return replace(self, landmarks=own, crop=crop if sensible else self.crop)


def _square_crop(box: Sequence[float], width: int, height: int, name: str) -> Crop:
    """The crop of a box x0 y0 x1 y1: square, about the box's center, as wide as its longer side."""
    given = _numbers(box, name, "four numbers x0 y0 x1 y1")
    if given.shape != (4,):
        raise InputError(f"{name}: expected four numbers x0 y0 x1 y1, got an array of shape {given.shape}")
    corners = given.tolist()
    shown = " ".join(f"{corner:g}" for corner in corners)
    if not all(math.isfinite(corner) for corner in corners):
        raise InputError(f"{name}: expected four finite numbers x0 y0 x1 y1, got {shown}")
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        raise InputError(f"{name}: expected x0 < x1 and y0 < y1 in pixels, got {shown}")
    side = max(x1 - x0, y1 - y0)
    if side < MIN_BOX:
        raise InputError(f"{name}: expected a side of at least {MIN_BOX:g} pixels, got {shown}")
    if side > MAX_BOX * max(width, height):
        raise InputError(f"{name}: expected a box of the {width}x{height} image's size, got {shown}")
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise InputError(f"{name}: lies outside the {width}x{height} image, got {shown}")
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return Crop(x - side / 2, y - side / 2, x + side / 2, y + side / 2, SIZE)


def _landmarks(points: ArrayLike, width: int, height: int, name: str) -> NDArray[np.float64]:
    """Landmarks as (68, 2) float64, once they are known to be those of a face in this image."""
    marks = _numbers(points, name, "(68, 2) numbers in image pixels")
    if marks.shape != (68, 2):
        raise InputError(f"{name}: expected (68, 2) image pixels, got an array of shape {marks.shape}")
    wrong = int((~np.isfinite(marks)).any(axis=1).sum())
    if wrong:
        raise InputError(f"{name}: expected finite coordinates, got {wrong} points with NaN or infinity")
    reach = MAX_BOX / 2 * max(width, height)
    far = np.flatnonzero((np.abs(marks - [width / 2, height / 2]) > reach).any(axis=1))
    if far.size:
        x, y = marks[far[0]]
        raise InputError(
            f"{name}: expected points in pixels of the {width}x{height} image, got {x:g}, {y:g} for point"
            f" {far[0]} (counted from 0); is a decimal point missing?"
        )
    inside = ((marks >= -0.5) & (marks <= [width - 0.5, height - 0.5])).all(axis=1)
    if inside.sum() < 34:
        raise InputError(
            f"{name}: {68 - inside.sum()} of the 68 points lie outside the {width}x{height} image;"
            " they seem to belong to another photo"
        )
    extent = float(np.ptp(marks, axis=0).max())
    if extent * math.sqrt(2) < MIN_BOX:
        raise InputError(f"{name}: expected points spread over a face, got points within {extent:g} pixels")
    return marks


def _numbers(values: ArrayLike, name: str, expected: str) -> NDArray[np.float64]:
    try:
        if np.iscomplexobj(values):
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: expected {expected}") from error
