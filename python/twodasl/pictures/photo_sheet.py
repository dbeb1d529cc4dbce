"""The contact sheet of a data set of photos: crops with their landmarks, counts, and the histogram of yaw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.report import printable
from ..landmarks import CONNECTIONS_18, CONNECTIONS_68, EIGHTEEN_NAMES, FLIPS, TWENTY_ONE_NAMES
from .charts import BLUE, Page, figure_image, hex_color, new_figure, nice_ticks, style
from .render import Image, caption, contact_sheet, stack_sheets

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

TILE = 240
COLUMNS = 8
VISIBLE, HIDDEN = (80, 220, 90), (60, 70, 255)  # BGR
# Lines show the side, so that a data set with another order of points stands out.
LEFT, RIGHT, MIDDLE = (60, 190, 255), (255, 150, 90), (230, 230, 230)
BIN_DEGREES = 10

_BITS = 4  # cv2 draws at 1/16 pixel


class Photos(Protocol):
    """What is drawn; see `twodasl.datasets.photos.annotated.AnnotatedPhotos`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...

    def name(self, index: int) -> str: ...

    @property
    def yaw_degrees(self) -> NDArray[np.float64]: ...


def photo_sheet(
    photos: Photos, title: str, notes: Sequence[str], count: int = 48, yaw_words: str = ""
) -> Image:
    """Draw a data set.

    Args:
        photos: at least one.
        title, notes: text above the pictures: the title, and lines below it.
        count: number of pictures, spread evenly over yaw if it is known, otherwise over the list.
        yaw_words: which way yaw is positive.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    tiles = []
    for index in spread_indices(photos, count):
        sample = photos[index]
        words = printable(photos.name(index).rsplit("/", 1)[-1])
        if "yaw" in sample:
            words += f"  yaw {math.degrees(sample['yaw']):.0f}"
        tiles.append(caption(photo_tile(sample), words))
    grid = contact_sheet(tiles, min(COLUMNS, len(tiles)))
    width = max(grid.shape[1], 900)
    parts = [_header(title, notes, width), grid]
    yaw = photos.yaw_degrees
    if np.isfinite(yaw).any():
        parts.append(yaw_histogram(yaw[np.isfinite(yaw)], width, words=yaw_words))
    return stack_sheets(parts)


def spread_indices(photos: Photos, count: int) -> list[int]:
    """At most `count` indices, spread evenly over yaw if every photo has one, otherwise over the list."""
    total, yaw = len(photos), photos.yaw_degrees
    count = min(count, total)
    if not np.isfinite(yaw).all():
        return [int(place) for place in np.linspace(0, total - 1, count).round()]
    order = np.argsort(yaw, kind="stable")
    # Even steps of yaw, not of rank: profiles are few, and are what one looks for.
    low, high = (float(np.percentile(yaw, share)) for share in (0.5, 99.5))
    wanted = np.linspace(low, high, count)
    ranks = np.clip(np.searchsorted(yaw[order], wanted), 0, total - 1)
    for place in range(1, count):  # no photo twice
        ranks[place] = max(ranks[place], ranks[place - 1] + 1)
    for place in range(count - 1, -1, -1):
        ranks[place] = min(ranks[place], total - count + place)
    return [int(order[rank]) for rank in ranks]


def photo_tile(sample: dict[str, Any], size: int = TILE) -> Image:
    """A sample's crop, enlarged, with its landmarks: visible ones as dots, hidden ones as rings."""
    image = np.asarray(sample["image"])
    factor = size / image.shape[1]
    tile = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
    points = (np.asarray(sample["landmarks"], np.float64)[:, :2] + 0.5) * factor - 0.5
    visible = np.asarray(sample["visible"], np.bool_)
    known = np.isfinite(points).all(axis=1)
    fixed = np.rint(np.clip(np.where(known[:, None], points, 0), -30000, 30000) * 2**_BITS).astype(int)
    for first, second in _connections(len(points)):
        if visible[first] and visible[second]:
            ends = [(int(x), int(y)) for x, y in fixed[[first, second]]]
            cv2.line(tile, ends[0], ends[1], _side(len(points), first, second), 1, cv2.LINE_AA, _BITS)
    radius = round((2.0 if len(points) > 30 else 3.0) * 2**_BITS)
    for index in np.flatnonzero(known):
        center = (int(fixed[index, 0]), int(fixed[index, 1]))
        if visible[index]:
            cv2.circle(tile, center, radius + 2**_BITS, (30, 30, 30), -1, cv2.LINE_AA, _BITS)
            cv2.circle(tile, center, radius, VISIBLE, -1, cv2.LINE_AA, _BITS)
        else:
            cv2.circle(tile, center, radius + 2**_BITS // 2, HIDDEN, 2, cv2.LINE_AA, _BITS)
    return np.asarray(tile, dtype=np.uint8)


def yaw_histogram(yaw_degrees: NDArray[np.float64], width: int, height: int = 260, words: str = "") -> Image:
    """Draw a histogram of the photos' yaw; `words` are added to the axis label."""
    low = min(-90, BIN_DEGREES * math.floor(yaw_degrees.min() / BIN_DEGREES))
    high = max(90, BIN_DEGREES * math.floor(yaw_degrees.max() / BIN_DEGREES + 1))
    # Rounded: 20 degrees, kept as float32 radians, may come back as 19.9999994.
    counts, edges = np.histogram(np.round(yaw_degrees, 3), np.arange(low, high + 1, BIN_DEGREES))
    title = f"Yaw of {len(yaw_degrees):,} photos, in steps of {BIN_DEGREES} degrees"
    with style():
        figure = new_figure(width / 100, height / 100, dpi=100)
        axes = figure.subplots()
        axes.set_title(title)
        axes.bar(edges[:-1], counts, 0.94 * BIN_DEGREES, align="edge", color=BLUE)
        axes.set(xlim=(low, high), xlabel=f"degrees; {words}" if words else "degrees", ylabel="photos")
        axes.set_xticks(range(math.ceil(low / 30) * 30, high + 1, 30))
        ticks = nice_ticks(float(counts.max()), 4)
        whole = [tick for tick in ticks if tick == round(tick)]
        axes.set_ylim(0, ticks[-1])
        axes.set_yticks(whole, [f"{tick:,.0f}" for tick in whole])
        axes.grid(True, axis="y")
        return figure_image(figure)


def _header(title: str, notes: Sequence[str], width: int) -> Image:
    with style():
        page = Page(width, 74 + 21 * len(notes))
        page.text(10, 22, title, 14)
        page.legend(12, 52, _legend())
        for row, words in enumerate(notes):
            page.text(12, 80 + 21 * row, words, 9.5)
        return page.image()


def _legend() -> list[Line2D]:
    from matplotlib.lines import Line2D

    visible, hidden, left, right = (hex_color(bgr[::-1]) for bgr in (VISIBLE, HIDDEN, LEFT, RIGHT))
    return [
        Line2D([], [], color=visible, marker="o", linestyle="", label="visible landmark"),
        Line2D([], [], color=hidden, marker="o", linestyle="", fillstyle="none", label="hidden landmark"),
        Line2D([], [], color=left, linewidth=2.5, label="parts on the left of a frontal face's picture"),
        Line2D([], [], color=right, linewidth=2.5, label="on the right"),
    ]


def _side(count: int, first: int, second: int) -> tuple[int, int, int]:
    """The color of a line: every scheme numbers a left point before its right counterpart."""
    sides = {int(np.sign(FLIPS[count][index] - index)) for index in (first, second)} - {0}
    return MIDDLE if len(sides) != 1 else LEFT if 1 in sides else RIGHT


def _connections(count: int) -> tuple[tuple[int, int], ...]:
    if count == 68:
        return CONNECTIONS_68
    if count == 18:
        return CONNECTIONS_18
    places = [TWENTY_ONE_NAMES.index(name) for name in EIGHTEEN_NAMES]
    return tuple((places[first], places[second]) for first, second in CONNECTIONS_18)
