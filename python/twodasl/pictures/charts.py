"""Charts drawn with Pillow, which the base installation has: axes, ticks, curves, a colour bar.

Everything is drawn at `SUPERSAMPLING` times its size and scaled down, which smooths lines and letters alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ..io.terminal import one_line, shortened
from .render import Image

SUPERSAMPLING = 3
INK = (45, 45, 50)
FAINT = (226, 226, 230)
COLORS = ((31, 97, 168), (200, 70, 40), (60, 140, 80), (130, 90, 170))

RGB = tuple[int, int, int]

_MARGIN = 4  # pixels between words and the picture's border
_LONGEST_WORDS = 500  # characters of which any can be seen

# Pale to dark, so that the shading of what has no error stays visible and gray prints keep the order.
_RAMP = np.array(
    [(247, 244, 232), (250, 220, 150), (247, 165, 80), (222, 90, 50), (160, 25, 55), (80, 5, 50)], np.float64
)


def ramp(values: ArrayLike) -> NDArray[np.float32]:
    """Colours (N, 3) sRGB in [0, 1] of values (N,) in [0, 1], pale for 0 and dark red for 1; clipped."""
    place = np.clip(np.asarray(values, np.float64), 0, 1) * (len(_RAMP) - 1)
    channels = [np.interp(place, np.arange(len(_RAMP)), _RAMP[:, channel]) for channel in range(3)]
    return (np.stack(channels, axis=-1) / 255).astype(np.float32)


def nice_ticks(top: float, most: int = 6) -> list[float]:
    """Round numbers from 0 that cover `top`: at most `most` + 1 of them, the last one not below `top`."""
    if not math.isfinite(top) or top <= 0:
        top = 1.0
    power = 10.0 ** math.floor(math.log10(top / most))
    step = next(
        factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power * most >= top * (1 - 1e-9)
    )
    count = math.ceil(top / step * (1 - 1e-9))
    return [index * step for index in range(count + 1)]


class Canvas:
    """A white picture to draw on, in pixels of its final size."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._picture = Pillow.new("RGB", size, (255, 255, 255))
        self._draw = ImageDraw.Draw(self._picture)

    def line(self, points: Sequence[tuple[float, float]], color: RGB, width: float = 1.0) -> None:
        """A polyline through (x, y) points."""
        flat = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]
        self._draw.line(flat, fill=color, width=max(1, round(width * SUPERSAMPLING)), joint="curve")

    def dashes(
        self, start: tuple[float, float], end: tuple[float, float], color: RGB, width: float = 1.0
    ) -> None:
        """A dashed line."""
        length = math.dist(start, end)
        for first in np.arange(0, length, 8.0):
            shares = first / length, min(first + 5, length) / length
            ends = [tuple(a + share * (b - a) for a, b in zip(start, end, strict=True)) for share in shares]
            self.line([(ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])], color, width)

    def rectangle(self, box: tuple[float, float, float, float], color: RGB) -> None:
        """A filled rectangle x0 y0 x1 y1."""
        self._draw.rectangle([round(edge * SUPERSAMPLING) for edge in box], fill=color)

    def text(
        self, place: tuple[float, float], words: str, size: float = 14, anchor: str = "mm", color: RGB = INK
    ) -> None:
        """Words at a place, in one line; `anchor` as Pillow's: l, m or r, then t, m, s or b.

        What would reach over the picture's border is shortened.
        """
        xy = (place[0] * SUPERSAMPLING, place[1] * SUPERSAMPLING)
        left, right = place[0] - _MARGIN, self.width - _MARGIN - place[0]
        room = {"l": right, "r": left, "m": 2 * min(left, right)}[anchor[0]]
        font = _font(size)
        self._draw.text(xy, _fitted(words, font, room * SUPERSAMPLING), fill=color, font=font, anchor=anchor)

    def vertical_text(
        self, place: tuple[float, float], words: str, size: float = 14, color: RGB = INK
    ) -> None:
        """Words that run upwards, centred on a place."""
        font = _font(size)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
        strip = Pillow.new("RGB", (right - left + 4, bottom - top + 4), (255, 255, 255))
        ImageDraw.Draw(strip).text((2 - left, 2 - top), words, fill=color, font=font)
        turned = strip.transpose(Pillow.Transpose.ROTATE_90)
        corner = (
            round(place[0] * SUPERSAMPLING - turned.width / 2),
            round(place[1] * SUPERSAMPLING - turned.height / 2),
        )
        self._picture.paste(turned, corner)

    def paste(self, picture: Image, place: tuple[int, int]) -> None:
        """A finished picture (H, W, 3) uint8 BGR with its upper left corner at (x, y)."""
        height, width = picture.shape[:2]
        large = Pillow.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).resize(
            (width * SUPERSAMPLING, height * SUPERSAMPLING), Pillow.Resampling.NEAREST
        )
        self._picture.paste(large, (place[0] * SUPERSAMPLING, place[1] * SUPERSAMPLING))

    def image(self) -> Image:
        """What was drawn, (height, width, 3) uint8 BGR."""
        small = self._picture.resize((self.width, self.height), Pillow.Resampling.BOX)
        return np.ascontiguousarray(np.asarray(small)[:, :, ::-1])


def color_bar(
    canvas: Canvas, box: tuple[float, float, float, float], ticks: Sequence[float], label: str, top: str = ""
) -> None:
    """An upright bar of `ramp` in the box, with its ticks and its label at its right.

    ticks: from 0 at the bottom to the last at the top. `top` replaces the last tick's number ("6 or more").
    """
    x0, y0, x1, y1 = box
    rows = round((y1 - y0) * SUPERSAMPLING)
    for row, color in enumerate(np.rint(255 * ramp(np.linspace(1, 0, rows))).astype(int).tolist()):
        upper = y0 + row / SUPERSAMPLING
        canvas.rectangle((x0, upper, x1, upper + 1 / SUPERSAMPLING), (color[0], color[1], color[2]))
    for tick in ticks:
        y = y1 - (y1 - y0) * tick / ticks[-1]
        canvas.line([(x1, y), (x1 + 5, y)], INK)
        words = top if top and tick == ticks[-1] else f"{tick:g}"
        canvas.text((x1 + 9, y), words, 13, "lm")
    canvas.vertical_text((x1 + 92, (y0 + y1) / 2), label, 14)


def _fitted(words: str, font: Any, room: float) -> str:
    """The words in one line, shortened to a length of `room` where they are longer."""
    line = one_line(words, _LONGEST_WORDS)
    if font.getlength(line) <= room:
        return line
    fits = [most for most in range(4, len(line)) if font.getlength(shortened(line, most)) <= room]
    return shortened(line, fits[-1]) if fits else ""


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SUPERSAMPLING)
