"""The cumulative error curve: the share of faces whose error is at most a given one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..io.terminal import one_line
from ..pictures.charts import (
    BLUE,
    COLORS,
    GREEN,
    VERMILION,
    figure_image,
    heading,
    new_figure,
    nice_ticks,
    style,
)
from ..pictures.render import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_WIDTH, _HEIGHT = 7.6, 5.0  # inches
_ROW = 0.19  # inches that a row of the legend adds
_COVERED = 98.0  # percentile at which the axis of several curves ends; the rest is a thin tail
_MOST_CURVES = 24
_STEPS = 2000  # of a curve of points
_LONGEST_NAME = 60  # characters of a curve's name in the legend
_DASHES = ("solid", (0, (4, 2)), (0, (1, 1.4)))  # where there are more curves than colors
_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.4}  # of the axes

Floats = NDArray[np.float64]


def error_curve(errors: Floats, title: str, label: str) -> Image:
    """Chart errors (n,), in percent: for each error on the x axis, the share of faces with no larger one.

    title: the first line. label: of the x axis. Mean and median are marked. Returns (H, W, 3) uint8 BGR.
    """
    values = _sorted(errors)
    with style():
        figure = new_figure(_WIDTH, _HEIGHT)
        axes = _axes(figure.subplots(), nice_ticks(float(values[-1]) * 1.02), label)
        heading(figure, title)
        _step(axes, values, color=BLUE, linewidth=2)
        for name, value, color in (
            ("mean", float(values.mean()), VERMILION),
            ("median", float(np.median(values)), GREEN),
        ):
            words = f"{name} {value:.3g} %"
            axes.axvline(value, color=color, linestyle=_DASHES[1], linewidth=1.4, label=words)
        axes.legend(ncols=2, labelcolor="linecolor", **_ABOVE)
        return figure_image(figure)


def error_curves(errors: Mapping[str, Floats], title: str, label: str) -> Image:
    """Chart several curves, each named with its mean, the lowest mean first.

    errors: name -> (n,) in percent; the curves may be of different faces. The x axis ends where the worst
    curve has covered 98 % of its faces, so that a single bad face does not squeeze all curves; the legend
    says how many faces lie beyond it. Of more than 24 curves those with the lowest means are drawn. Returns
    (H, W, 3) uint8 BGR.
    """
    if not errors:
        raise ValueError("errors: expected at least one curve")
    curves = {name: _sorted(values) for name, values in errors.items()}
    names = sorted(curves, key=lambda name: float(curves[name].mean()))
    left_out, names = len(names[_MOST_CURVES:]), names[:_MOST_CURVES]
    ticks = nice_ticks(max(float(np.percentile(curves[name], _COVERED)) for name in names))
    with style():
        figure = new_figure(_WIDTH, _HEIGHT + _ROW * (len(names) + bool(left_out)))
        axes = _axes(figure.subplots(), ticks, label)
        heading(figure, title)
        lines, labels = [], []
        for row, name in enumerate(names):
            values = curves[name]
            beyond = int((values > ticks[-1]).sum())
            words = f"{one_line(name, _LONGEST_NAME)}: mean {values.mean():.2f} %"
            words += f", {beyond:,} of {len(values):,} beyond the axis" if beyond else ""
            color, dashes = COLORS[row % len(COLORS)], _DASHES[row // len(COLORS) % len(_DASHES)]
            # The best curve is drawn last, above the others.
            line = _step(axes, values, color=color, linestyle=dashes, linewidth=1.8, zorder=3 - row / 100)
            lines.append(line)
            labels.append(words)
        if left_out:
            lines.append(_step(axes, np.zeros(1), linestyle="none"))
            labels.append(f"and {left_out:,} with larger means")
        legend = axes.legend(lines, ["-"] * len(lines), handlelength=2.6, **_ABOVE)
        for text, words in zip(legend.get_texts(), labels, strict=True):
            text.set_text(words)  # a legend leaves out what is created with a name like "_a"
        return figure_image(figure)


def distance_curves(distances: Mapping[str, Floats], title: str, label: str, last: float = 7.0) -> Image:
    """Chart how many points are at most so far from a surface: a curve for each name, the best last.

    distances: name -> (n,), n in the millions too, in millimeters. last: where the x axis ends, in the same.
    The legend has each curve's median and mean. Returns (H, W, 3) uint8 BGR.
    """
    if not distances:
        raise ValueError("distances: expected at least one curve")
    names = sorted(distances, key=lambda name: float(np.median(distances[name])))
    with style():
        figure = new_figure(_WIDTH, _HEIGHT + _ROW * len(names))
        axes = _axes(figure.subplots(), nice_ticks(last), label, "points with at most this distance")
        heading(figure, title)
        lines, labels = [], []
        for row, name in enumerate(names):
            values = distances[name]
            # A staircase of millions of steps looks like that of its quantiles.
            quantiles = np.quantile(values, np.linspace(0, 1, min(len(values), _STEPS)))
            color, dashes = COLORS[row % len(COLORS)], _DASHES[row // len(COLORS) % len(_DASHES)]
            style_of = {"color": color, "linestyle": dashes, "linewidth": 1.8, "zorder": 3 - row / 100}
            lines.append(_step(axes, _sorted(quantiles), **style_of))
            words = f"median {np.median(values):.2f}, mean {values.mean():.2f} mm"
            labels.append(f"{one_line(name, _LONGEST_NAME)}: {words}")
        legend = axes.legend(lines, ["-"] * len(lines), handlelength=2.6, **_ABOVE)
        for text, words in zip(legend.get_texts(), labels, strict=True):
            text.set_text(words)
        return figure_image(figure)


def _axes(axes: Axes, ticks: list[float], label: str, share: str = "faces with at most this error") -> Axes:
    axes.set(xlim=(0, ticks[-1]), ylim=(0, 100), xlabel=label, ylabel=share)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)])
    axes.grid(True)
    return axes


def _step(axes: Axes, values: Floats, **line: Any) -> Line2D:
    """A staircase that rises by 100 / n at each face's error, and goes on to the end of the axis."""
    x = np.concatenate([[0], values, [max(values[-1], axes.get_xlim()[1])]])
    y = np.concatenate([[0], 100 * np.arange(1, len(values) + 1) / len(values), [100]])
    return axes.step(x, y, where="post", **line)[0]


def _sorted(errors: Floats) -> Floats:
    values = np.sort(np.asarray(errors, np.float64))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError("errors: expected (n,) finite numbers from 0, n at least 1")
    return values
