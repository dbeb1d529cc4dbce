"""A picture of the worst images: each face with its predicted and annotated landmarks, and its error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.report import printable
from ..errors import InputError
from ..geometry.crops import Crop
from ..landmarks import CONNECTIONS_68
from ..pictures.charts import RGB, Page, hex_color, style
from ..pictures.render import Image

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

TRUTH, PREDICTED = (70, 215, 80), (255, 90, 50)  # RGB
GUIDE = (255, 225, 90)
TILE = 260
COLUMNS = 5

_CAPTION, _GAP, _HEADER = 42, 6, 78  # pixels
_NARROWEST = 820  # pixels that the header needs
_LETTERS = 38  # of a name below its tile
_GUIDE_ON_WHITE = "#c8aa1e"
_BORDER = 0.08  # margin around all points, as a fraction of the tile
_WIDEST = 3.0  # maximum extent of a tile, in sides of the true landmarks' box
_EMPTY = 205
_BITS = 4  # cv2 draws at 1/16 pixel


@dataclass(frozen=True, eq=False)
class WorstFace:
    """One tile.

    picture: (H, W, 3) uint8 BGR, or None if the image is not available. truth: (L, 2) pixels of the picture,
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
    """Draw one tile per face, the first in the upper left corner.

    Annotated points are green, predicted ones orange, and a line joins each pair: its length is the error of
    that point. title: the first line; note: a smaller one below the legend. Returns (H, W, 3) uint8 BGR.
    Raises ValueError if there is no face.
    """
    if not faces:
        raise ValueError("faces: expected at least one")
    columns = min(COLUMNS, len(faces))
    rows = -(-len(faces) // columns)
    top = _HEADER + (24 if note else 0)
    width = max(columns * (TILE + _GAP) + _GAP, _NARROWEST)
    left = (width - columns * (TILE + _GAP) + _GAP) // 2
    with style():
        page = Page(width, top + rows * (TILE + _CAPTION + _GAP))
        page.text(12, 24, title, 14)
        page.legend(14, 56, _legend())
        if note:
            page.text(12, 86, note, 10)
        for number, face in enumerate(faces):
            row, column = divmod(number, columns)
            x, y = left + column * (TILE + _GAP), top + row * (TILE + _CAPTION + _GAP)
            page.paste(_tile(face), x, y)
            yaw = "" if face.yaw is None else f",  yaw {face.yaw:.0f}°"
            words = f"{number + 1}.  NME {face.error:.2f} %{yaw}"
            page.text(x + TILE / 2, y + TILE + 13, words, 10, "center")
            name = printable(face.name)  # before it is cut
            name = name if len(name) <= _LETTERS else f"...{name[3 - _LETTERS :]}"
            page.text(x + TILE / 2, y + TILE + 31, name, 8, "center")
        return page.image()


def _legend() -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=hex_color(TRUTH), marker="o", linestyle="", label="annotated"),
        Line2D([], [], color=hex_color(PREDICTED), marker="o", linestyle="", label="predicted"),
        Line2D([], [], color=_GUIDE_ON_WHITE, linewidth=2.5, label="joins the two: the error of a point"),
    ]


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
    """The square of the image with all points; of a prediction far off, only the part near the face."""
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
    """The crop's pixels, smoothed where enlarged; gray outside the image."""
    if picture is not None:
        with suppress(InputError):  # all points are outside the picture
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
