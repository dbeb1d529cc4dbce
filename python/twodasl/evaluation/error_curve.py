"""The cumulative error curve: what share of the faces has at most a given error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..pictures.charts import COLORS, FAINT, INK, RGB, Canvas, nice_ticks
from ..pictures.render import Image

_WIDTH, _HEIGHT = 760, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 82, 30, 84, 70
_LEGEND = 22
_COVERED = 98.0  # percentile of a curve's errors that several curves show; the rest is a thin tail
_MOST_CURVES = 24
_STYLES = ((), (9, 5), (2.5, 3.5))  # dashes, where there are more curves than colours

Floats = NDArray[np.float64]


def error_curve(errors: Floats, title: str, label: str) -> Image:
    """A chart of errors (n,) in percent: at each error on the x axis, the share of faces with no larger one.

    title: the first line. label: of the x axis. Mean and median are marked. Returns (H, W, 3) uint8 BGR.
    """
    values = _sorted(errors)
    ticks = nice_ticks(float(values[-1]) * 1.02)
    axes = _Axes(_HEIGHT, _TOP, ticks, title, label)
    marks = (("mean", float(values.mean()), COLORS[1]), ("median", float(np.median(values)), COLORS[2]))
    x = float(_LEFT)
    for name, value, color in marks:
        axes.canvas.dashes(axes.place(value, 0), axes.place(value, 100), color, 1.6)
        axes.canvas.line([(x, 56), (x + 26, 56)], color, 2.2)
        axes.canvas.text((x + 34, 56), f"{name} {value:.3g} %", 15, "lm", color)
        x += 190
    axes.curve(values, COLORS[0])
    return axes.canvas.image()


def error_curves(errors: Mapping[str, Floats], title: str, label: str) -> Image:
    """Several curves in one chart, each named with its mean, the lowest mean first.

    errors: name -> (n,) in percent; the sets of faces may differ. The x axis ends where the worst curve has
    shown 98 % of its faces, so that a single bad face does not squeeze all curves; the chart says how many
    faces lie beyond it. Of more than 24 curves those with the lowest means are drawn. Returns
    (H, W, 3) uint8 BGR.
    """
    if not errors:
        raise ValueError("errors: expected at least one curve")
    curves = {name: _sorted(values) for name, values in errors.items()}
    names = sorted(curves, key=lambda name: float(curves[name].mean()))
    left_out, names = len(names[_MOST_CURVES:]), names[:_MOST_CURVES]
    ticks = nice_ticks(max(float(np.percentile(curves[name], _COVERED)) for name in names))
    top = 62 + _LEGEND * (len(names) + bool(left_out))
    axes = _Axes(_HEIGHT - _TOP + top, top, ticks, title, label)
    for row, name in enumerate(names):
        color, dash = COLORS[row % len(COLORS)], _STYLES[row // len(COLORS) % len(_STYLES)]
        y = 54 + _LEGEND * row
        axes.line([(_LEFT, y), (_LEFT + 34, y)], color, dash)
        beyond = int((curves[name] > ticks[-1]).sum())
        words = f"{name}: mean {curves[name].mean():.2f} %"
        words += f", {beyond:,} of {len(curves[name]):,} beyond the axis" if beyond else ""
        axes.canvas.text((_LEFT + 44, y), words, 14, "lm", color)
    if left_out:
        axes.canvas.text((_LEFT, 54 + _LEGEND * len(names)), f"and {left_out:,} with larger means", 14, "lm")
    for row, name in reversed(list(enumerate(names))):
        axes.curve(curves[name], COLORS[row % len(COLORS)], _STYLES[row // len(COLORS) % len(_STYLES)])
    return axes.canvas.image()


class _Axes:
    """A canvas with both axes drawn: percent of faces over error."""

    def __init__(self, height: int, top: int, ticks: list[float], title: str, label: str) -> None:
        self.canvas = canvas = Canvas(_WIDTH, height)
        self.end = ticks[-1]
        self._right, self._top, self._bottom = _WIDTH - _RIGHT, top, height - _BOTTOM
        canvas.text((_LEFT, 26), title, 18, "lm")
        for share in range(0, 101, 20):
            canvas.line([self.place(0, share), self.place(ticks[-1], share)], FAINT)
            canvas.text((_LEFT - 10, self.place(0, share)[1]), f"{share} %", 14, "rm")
        for tick in ticks:
            canvas.line([self.place(tick, 0), self.place(tick, 100)], FAINT)
            canvas.text((self.place(tick, 0)[0], self._bottom + 16), f"{tick:g}", 14)
        canvas.line([self.place(0, 100), self.place(0, 0), self.place(ticks[-1], 0)], INK, 1.3)
        canvas.text(((_LEFT + self._right) / 2, height - 22), label, 15)
        canvas.vertical_text((20, (top + self._bottom) / 2), "faces with at most this error", 15)

    def place(self, error: float, share: float) -> tuple[float, float]:
        return (
            _LEFT + (self._right - _LEFT) * error / self.end,
            self._bottom - (self._bottom - self._top) * share / 100,
        )

    def curve(self, values: Floats, color: RGB, dash: tuple[float, ...] = ()) -> None:
        """A staircase: the share rises at each face's error by 100 / n."""
        points = [self.place(0, 0)]
        for rank, value in enumerate(values.tolist()):
            before, after = 100 * rank / len(values), 100 * (rank + 1) / len(values)
            if value > self.end:
                points.append(self.place(self.end, before))
                break
            points += [self.place(value, before), self.place(value, after)]
        else:
            points.append(self.place(self.end, 100))
        self.line(points, color, dash)

    def line(self, points: list[tuple[float, float]], color: RGB, dash: tuple[float, ...]) -> None:
        if not dash:
            self.canvas.line(points, color, 2.4)
            return
        corners = np.array(points)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
        for start in np.arange(0, along[-1], sum(dash)):
            inner = along[(along > start) & (along < start + dash[0])]
            stops = np.array([start, *inner, min(start + dash[0], along[-1])])
            xs, ys = (np.interp(stops, along, corners[:, axis]) for axis in range(2))
            self.canvas.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), color, 2.4)


def _sorted(errors: Floats) -> Floats:
    values = np.sort(np.asarray(errors, np.float64))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError("errors: expected (n,) finite numbers from 0, n at least 1")
    return values
