"""The 120x120 crop that networks see: its box, its pixels, and its coordinate maps.

Coordinates follow the 3DDFA family, so that its published boxes and parameters keep their meaning:
crop pixel u of a box (x0, x1) shows the image point `x0 + u * (x1 - x0) / size`. `Crop.image` resamples at
exactly those points (pixel centers at integers on both sides), so pixels and maps agree to float accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

SIZE = 120
"""Side of the crop in pixels."""

BOX_MARGIN = math.sqrt(2.0)
"""Side of the crop box over the longer side of the landmarks' bounding box (3DDFA's `roi_box`)."""

# Reductions beyond this are first averaged over whole blocks, so that the Gaussian below stays small.
_DIRECT_REDUCTION = 4.0

Coordinates = TypeVar("Coordinates", torch.Tensor, NDArray[np.floating])


def flip_y(y: Coordinates, size: int | Coordinates = SIZE) -> Coordinates:
    """Between model-side y (up) and the image row (down): `size + 1 - y`. It is its own inverse.

    size: rows of the crop, or of the photo; a tensor or array of them broadcasts against `y`.

    Parameter vectors place faces in a crop whose y axis points up; the constant is that of the family's
    1-based code. This is the only place that knows it.
    """
    return size + 1 - y  # type: ignore[return-value]


@dataclass(frozen=True)
class Crop:
    """A box in an image, in pixels, and the `size` x `size` crop made from it.

    The box may have fractional corners, may extend beyond the image, and need not be square. Raises
    InputError if a corner is not finite or the box is empty.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    size: int = SIZE

    def __post_init__(self) -> None:
        for name in ("x0", "y0", "x1", "y1"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not all(math.isfinite(corner) for corner in self.box):
            raise InputError(f"box: expected four finite numbers x0 y0 x1 y1, got {_describe(self.box)}")
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise InputError(f"box: expected x0 < x1 and y0 < y1 in pixels, got {_describe(self.box)}")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) in image pixels."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def scale(self) -> tuple[float, float]:
        """Image pixels per crop pixel, along x and along y."""
        return (self.x1 - self.x0) / self.size, (self.y1 - self.y0) / self.size

    def to_image(self, points: Coordinates) -> Coordinates:
        """Crop coordinates (..., 2 or 3) to image coordinates; a third column (depth) is scaled as well.

        Tensors and arrays keep their type, dtype, and device; differentiable.
        """
        scale, origin = self._map(points)
        return points * scale + origin

    def to_crop(self, points: Coordinates) -> Coordinates:
        """Image coordinates (..., 2 or 3) to crop coordinates: the inverse of `to_image`."""
        scale, origin = self._map(points)
        return (points - origin) / scale

    def pose(self, pose: NDArray[np.floating], height: int) -> NDArray[np.float64]:
        """The camera (3, 4) that places a face in this crop, from the one that places it in the image.

        In both, y points up: `flip_y` gives the row, with the crop's size or the image's `height`. `to_crop`
        maps the projections of one to those of the other, exactly for any box.
        """
        step_x, step_y = self.scale
        moved = np.array(pose, dtype=np.float64)
        moved[0, 3] -= self.x0
        moved[:] /= np.array([step_x, step_y, (step_x + step_y) / 2])[:, None]
        # The row of y = 0 in the image, in crop pixels.
        level = (float(flip_y(np.array(0.0), height)) - self.y0) / step_y
        moved[1, 3] += float(flip_y(np.array(level), self.size))
        return moved

    def image(
        self,
        image: NDArray[np.uint8],
        border: tuple[int, int, int] = (0, 0, 0),
        interpolation: int = cv2.INTER_LINEAR,
    ) -> NDArray[np.uint8]:
        """Cut out the crop's pixels: (H, W, 3) uint8 to (size, size, 3) uint8.

        Reduction averages (no aliasing). Areas outside the image get the color `border`, by default black as
        in the 3DDFA family's crops. The image may have any size: OpenCV 4, which is limited to 32,766 pixels
        per side, gets only the part under the box, reduced. Raises InputError if image and box do not
        overlap.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"image: expected (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}")
        height, width = image.shape[:2]
        if self.x0 >= width or self.y0 >= height or self.x1 <= 0 or self.y1 <= 0:
            raise InputError(
                f"box: expected a box that overlaps the {width}x{height} image, got {_describe(self.box)}"
            )
        (step_x, step_y), (left, top) = self.scale, (self.x0, self.y0)
        # Work on the part of the image under the box; the margin covers the filter's support.
        margin_x, margin_y = math.ceil(2 * step_x) + 2, math.ceil(2 * step_y) + 2
        first_x, first_y = max(0, math.floor(left) - margin_x), max(0, math.floor(top) - margin_y)
        last_x, last_y = math.ceil(self.x1) + margin_x, math.ceil(self.y1) + margin_y
        part: NDArray[Any] = image[first_y:last_y, first_x:last_x]
        left, top = left - first_x, top - first_y
        block_x, block_y = _block(step_x), _block(step_y)
        if block_x > 1 or block_y > 1:
            part = block_means(part, block_x, block_y)
            # A block's center lies (block - 1) / 2 pixels past its first pixel.
            left, top = (left - (block_x - 1) / 2) / block_x, (top - (block_y - 1) / 2) / block_y
            step_x, step_y = step_x / block_x, step_y / block_y
        if step_x > 1 or step_y > 1:
            # A Gaussian that, together with bilinear sampling, passes only what the coarser grid can
            # represent.
            part = cv2.GaussianBlur(
                part, (0, 0), sigmaX=_sigma(step_x), sigmaY=_sigma(step_y), borderType=cv2.BORDER_REPLICATE
            )
        # Crop pixel (u, v) samples (left + u * step_x, top + v * step_y).
        transform = np.array([[step_x, 0.0, left], [0.0, step_y, top]])
        crop = cv2.warpAffine(
            part,
            transform,
            (self.size, self.size),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=border,
        )
        return np.asarray(crop, dtype=np.uint8)

    def _map(self, points: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Scale and origin as rows that broadcast over points (..., 2 or 3)."""
        columns = points.shape[-1]
        if columns not in (2, 3):
            raise ValueError(f"points: expected (..., 2) or (..., 3), got {tuple(points.shape)}")
        step_x, step_y = self.scale
        scale = [step_x, step_y, (step_x + step_y) / 2][:columns]
        origin = [self.x0, self.y0, 0.0][:columns]
        if isinstance(points, torch.Tensor):
            return points.new_tensor(scale), points.new_tensor(origin)
        dtype = points.dtype if np.issubdtype(points.dtype, np.floating) else np.dtype(np.float64)
        return np.array(scale, dtype), np.array(origin, dtype)  # type: ignore[return-value]


def crop_from_landmarks(points: ArrayLike, size: int = SIZE) -> Crop:
    """The square crop around landmarks (L, 2 or more columns; image pixels).

    Its center is that of the landmarks' bounding box, and its side is sqrt(2) times the box's longer side:
    the rule by which the 3DDFA family crops from 68 points. Raises InputError if a coordinate is not finite
    or all points coincide.
    """
    xy = np.asarray(points, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[0] < 2 or xy.shape[1] < 2:
        raise InputError(f"landmarks: expected (68, 2) image pixels, got an array of shape {xy.shape}")
    xy = xy[:, :2]
    if not np.isfinite(xy).all():
        count = int((~np.isfinite(xy)).any(axis=1).sum())
        raise InputError(f"landmarks: expected finite coordinates, got {count} points with NaN or infinity")
    low, high = xy.min(axis=0), xy.max(axis=0)
    side = BOX_MARGIN * float((high - low).max())
    if side <= 0:
        raise InputError("landmarks: expected points spread over a face, got points that all coincide")
    x, y = (low + high) / 2
    return Crop(x - side / 2, y - side / 2, x + side / 2, y + side / 2, size)


def _describe(box: tuple[float, ...]) -> str:
    return " ".join(f"{corner:g}" for corner in box)


def _block(step: float) -> int:
    """How many pixels to average first; the remaining reduction is within [2, 4)."""
    return math.floor(step / 2) if step >= _DIRECT_REDUCTION else 1


def _sigma(step: float) -> float:
    """The Gaussian that widens a filter of unit width to width `step` (a box of width w has variance w^2 /
    12).
    """
    return max(math.sqrt(max(step * step - 1.0, 0.0) / 12.0), 1e-3)


def block_means(image: NDArray[np.uint8], block_x: int, block_y: int) -> NDArray[np.uint8]:
    """Means over whole blocks; the last, partial ones are filled up by repeating the border."""
    height, width = image.shape[:2]
    below, right = -height % block_y, -width % block_x
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    shape = ((width + right) // block_x, (height + below) // block_y)
    return np.asarray(cv2.resize(padded, shape, interpolation=cv2.INTER_AREA), dtype=np.uint8)
