"""The worst images as a picture: each face with its predicted and its annotated landmarks, and its error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.report import printable
from ..errors import InputError
from ..geometry.crops import Crop
from ..landmarks import CONNECTIONS_68
from ..pictures.charts import INK, RGB, Canvas
from ..pictures.render import Image, contact_sheet, stack_sheets

TRUTH, PREDICTED = (70, 215, 80), (255, 90, 50)  # RGB
GUIDE = (255, 225, 90)
TILE = 260
COLUMNS = 5

_CAPTION = 40
_BORDER = 0.08  # of the tile, around all points
_WIDEST = 3.0  # sides of the true landmarks' box that a tile shows at most
_EMPTY = 205
_BITS = 4  # cv2 draws at 1/16 pixel


@dataclass(frozen=True, eq=False)
class WorstFace:
    """One tile.

    picture: (H, W, 3) uint8 BGR, or None where the image is not at hand. truth: (L, 2) pixels of the picture,
    NaN where a point is not counted. predicted: (L, 2), the same points. name: of the image. error: NME in
    percent. yaw: degrees, or None.
    """

    picture: NDArray[np.uint8] | None
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]
    name: str
    error: float
    yaw: float | None


def worst_sheet(faces: Sequence[WorstFace], title: str, note: str = "") -> Image:
    """A tile for each face, the first in the upper left corner.

    Annotated points are green, predicted ones orange, and a line joins each pair: its length is the error of
    that point. title: the first line; note: a smaller one below it. Returns (H, W, 3) uint8 BGR. Raises
    ValueError when there is no face.
    """
    if not faces:
        raise ValueError("faces: expected at least one")
    tiles = [_captioned(_tile(face), face, rank) for rank, face in enumerate(faces, 1)]
    grid = contact_sheet(tiles, min(COLUMNS, len(tiles)))
    width = max(grid.shape[1], 820)
    canvas = Canvas(width, 92 if note else 70)
    canvas.text((10, 22), title, 19, "lm")
    place = 14.0
    for color, words in (
        (TRUTH, "annotated"),
        (PREDICTED, "predicted"),
        (GUIDE, "joins the two: the error of a point"),
    ):
        if color == GUIDE:
            canvas.line([(place, 52), (place + 18, 52)], (200, 170, 30), 3)
        else:
            canvas.rectangle((place + 3, 46, place + 15, 58), color)
        canvas.text((place + 25, 52), words, 15, "lm")
        place += 52 + 8.2 * len(words)
    if note:
        canvas.text((10, 78), note, 13, "lm")
    return stack_sheets([canvas.image(), grid])


def _captioned(tile: Image, face: WorstFace, rank: int) -> Image:
    canvas = Canvas(TILE, _CAPTION)
    yaw = "" if face.yaw is None else f",  yaw {face.yaw:.0f}°"
    canvas.text((TILE / 2, 11), f"{rank}.  NME {face.error:.2f} %{yaw}", 14)
    name = printable(face.name)
    canvas.text((TILE / 2, 29), name if len(name) <= 38 else f"...{name[-35:]}", 12, color=INK)
    return np.vstack([tile, canvas.image()])


def _tile(face: WorstFace) -> Image:
    crop = _view(face)
    tile = _cut(face.picture, crop)
    counted = np.isfinite(face.truth).all(axis=1)
    truth, found = (np.asarray(crop.to_crop(points), np.float64) for points in (face.truth, face.predicted))
    for first, second in zip(truth[counted], found[counted], strict=True):
        _line(tile, first, second, GUIDE, 1)
    if len(face.truth) == 68 and counted.all():
        for first, second in CONNECTIONS_68:
            _line(tile, truth[first], truth[second], TRUTH, 1)
            _line(tile, found[first], found[second], PREDICTED, 1)
    for points, color in ((truth, TRUTH), (found, PREDICTED)):
        radius = 2.0 if len(points) == 68 else 3.0
        for point in points[counted]:
            center = _fixed(point)
            cv2.circle(tile, center, round((radius + 0.9) * 2**_BITS), (30, 30, 30), -1, cv2.LINE_AA, _BITS)
            cv2.circle(tile, center, round(radius * 2**_BITS), _bgr(color), -1, cv2.LINE_AA, _BITS)
    return tile


def _view(face: WorstFace) -> Crop:
    """The square of the image that holds all points; of a prediction far off only what is near the face."""
    counted = np.isfinite(face.truth).all(axis=1)
    truth = face.truth[counted]
    points = np.concatenate([truth, face.predicted[counted]])
    low, high = points.min(axis=0), points.max(axis=0)
    size = max(float(np.ptp(truth, axis=0).max()), 1.0)
    middle = (truth.min(axis=0) + truth.max(axis=0)) / 2
    low, high = np.maximum(low, middle - _WIDEST * size / 2), np.minimum(high, middle + _WIDEST * size / 2)
    side = max(float((high - low).max()), size) * (1 + 2 * _BORDER) * 1.1
    x, y = (low + high) / 2
    return Crop(x - side / 2, y - side / 2, x + side / 2, y + side / 2, TILE)


def _cut(picture: NDArray[np.uint8] | None, crop: Crop) -> Image:
    """The crop's pixels, smooth where they are enlarged; gray outside the image."""
    if picture is not None:
        with suppress(InputError):  # points that all lie beside the picture
            return crop.image(picture, (_EMPTY,) * 3, cv2.INTER_CUBIC)
    return np.full((TILE, TILE, 3), _EMPTY, np.uint8)


def _line(
    tile: Image, first: NDArray[np.float64], second: NDArray[np.float64], color: RGB, width: int
) -> None:
    cv2.line(tile, _fixed(first), _fixed(second), _bgr(color), width, cv2.LINE_AA, _BITS)


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(np.clip(point, -30000 / 2**_BITS, 30000 / 2**_BITS) * 2**_BITS).astype(int).tolist()
    return x, y


def _bgr(color: RGB) -> RGB:
    return color[2], color[1], color[0]
