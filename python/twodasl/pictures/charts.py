"""Charts: one style, one palette and one color scale for everything that matplotlib draws here.

matplotlib is imported when something is drawn. Only its object interface is used: no global backend is chosen
and no figure stays registered, so a notebook's own plots are left alone.
"""

from __future__ import annotations

import logging
import warnings
from bisect import bisect_right
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.terminal import one_line, shortened
from .render import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, FAINT, MUTED = "#2d2d32", "#e4e4e4", "#6b6b6b"
# Okabe and Ito's palette, which survives the common kinds of color blindness.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE = "#56B4E9", "#E69F00"
COLORS = (BLUE, VERMILION, GREEN, PURPLE)

RGB = tuple[int, int, int]

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names come from files: a dollar sign is a dollar sign
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid.which": "major",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "twodasl",  # the same ids every time
}

DPI = 150
"""Pixels per inch of a chart."""

_LONGEST_LINE = 500  # characters, of which no picture shows more
_EDGE = 0.05  # inches that words keep from the edge
_PAGE_DPI = 100  # a font size of 10 is 14 pixels high on a Page

# Pale to dark: shading stays visible where there is no error, and a gray print keeps the order.
_RAMP = ("#f7f4e8", "#fadc96", "#f7a550", "#de5a32", "#a01937", "#500532")


def style() -> AbstractContextManager[None]:
    """The style, for the figures that are made and drawn inside this context."""
    import matplotlib

    # The font cache, built on the first use of a fresh installation, is announced like a problem.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float, dpi: float = DPI, layout: Any = "constrained") -> Figure:
    """An empty figure, width x height inches, drawn by Agg. Call it inside `style()`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def figure_image(figure: Figure) -> Image:
    """What a figure shows, (H, W, 3) uint8 BGR. Call it inside `style()`."""
    canvas: Any = figure.canvas
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, which says enough.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, 2::-1])


@cache
def colormap() -> Colormap:
    """The color scale of errors, from pale (0) to dark red (1)."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("error", _RAMP)


def ramp(values: ArrayLike) -> NDArray[np.float32]:
    """Colors (N, 3), sRGB in [0, 1], of values (N,) in [0, 1]; values outside are clipped."""
    return np.asarray(colormap()(np.clip(np.asarray(values, np.float64), 0, 1))[..., :3], np.float32)


def hex_color(color: RGB) -> str:
    """Red, green and blue, 0 to 255, as matplotlib takes it: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def nice_ticks(top: float, most: int = 6) -> list[float]:
    """At most `most` + 1 round numbers, evenly spaced from 0; the last one is not below `top`."""
    from matplotlib.ticker import MaxNLocator

    if not np.isfinite(top) or top <= 0:
        top = 1.0
    ticks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top)
    return [float(tick) for tick in ticks]


def heading(figure: Figure, words: str, size: float = 13) -> None:
    """A title at the upper left of the whole figure, shortened where it is longer than that is wide."""
    figure.suptitle(
        _shortened(words, 0.988 * figure.get_figwidth() - _EDGE, size), x=0.012, ha="left", fontsize=size
    )


def _shortened(words: str, room: float, size: float) -> str:
    """The words in one line, with dots for what does not fit into `room` inches at a font size of `size`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=STYLE["font.family"], size=size)

    def width(text: str) -> float:
        # Agg rounds each letter's width to whole pixels, which may add up to some percent.
        return 1.04 * float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72

    line = one_line(words, _LONGEST_LINE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        if width(line) <= room:
            return line
        fits = bisect_right(range(5, len(line)), room, key=lambda most: width(shortened(line, most)))
    return shortened(line, 4 + fits)


def color_bar(axes: Axes, ticks: list[float], label: str) -> None:
    """Turn the axes into an upright color bar from 0 to the last tick, at which the scale is cut off."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, ticks[-1]), colormap())
    figure: Any = axes.figure
    bar = figure.colorbar(scale, cax=axes, ticks=ticks)
    bar.set_ticklabels([*(f"{tick:g}" for tick in ticks[:-1]), f"{ticks[-1]:g} or more"])
    bar.set_label(label)
    bar.outline.set_visible(False)


class Page:
    """Pictures with words around them: a white figure measured in pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._figure = new_figure(width / _PAGE_DPI, height / _PAGE_DPI, _PAGE_DPI, layout=None)

    def paste(self, picture: Image, x: int, y: int) -> None:
        """A finished picture (H, W, 3) uint8 BGR with its upper left corner at (x, y), pixel for pixel."""
        bottom = self.height - y - picture.shape[0]
        self._figure.figimage(picture[:, :, ::-1], xo=x, yo=bottom, origin="upper")

    def text(self, x: float, y: float, words: str, size: float = 10, align: str = "left") -> None:
        """Words in one line whose middle is at the height y; `align` says where x is: left, center or right.

        What would cross the page's edge is shortened.
        """
        room = {"left": self.width - x, "right": x, "center": 2 * min(x, self.width - x)}[align]
        place = (x / self.width, 1 - y / self.height)
        line = _shortened(words, room / _PAGE_DPI - _EDGE, size)
        self._figure.text(*place, line, fontsize=size, ha=align, va="center")

    def legend(self, x: float, y: float, handles: list[Any], size: float = 10) -> None:
        """Labeled artists in one row, which starts at (x, y), its middle."""
        self._figure.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(x / self.width, 1 - y / self.height),
            ncols=len(handles),
            fontsize=size,
            borderaxespad=0,
            borderpad=0,
            handlelength=1.2,
            columnspacing=1.6,
        )

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose frame is this box."""
        left, bottom = x / self.width, 1 - (y + height) / self.height
        return self._figure.add_axes((left, bottom, width / self.width, height / self.height))

    def image(self) -> Image:
        """What was drawn, (height, width, 3) uint8 BGR."""
        return figure_image(self._figure)
