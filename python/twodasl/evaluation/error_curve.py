"""The cumulative error curve: what share of the faces has at most a given error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..charts import COLORS, FAINT, INK, Canvas, nice_ticks
from ..render import Image

_WIDTH, _HEIGHT = 760, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 82, 30, 84, 70


def error_curve(errors: NDArray[np.float64], title: str, label: str) -> Image:
    """A chart of errors (n,) in percent: at each error on the x axis, the share of faces with no larger one.

    title: the first line. label: of the x axis. Mean and median are marked. Returns (H, W, 3) uint8 BGR.
    """
    values = np.sort(np.asarray(errors, np.float64))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError("errors: expected (n,) finite numbers from 0, n at least 1")
    ticks = nice_ticks(float(values[-1]) * 1.02)
    canvas = Canvas(_WIDTH, _HEIGHT)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(error: float, share: float) -> tuple[float, float]:
        return _LEFT + (right - _LEFT) * error / ticks[-1], bottom - (bottom - _TOP) * share / 100

    canvas.text((_LEFT, 26), title, 18, "lm")
    for share in range(0, 101, 20):
        canvas.line([place(0, share), place(ticks[-1], share)], FAINT)
        canvas.text((_LEFT - 10, place(0, share)[1]), f"{share} %", 14, "rm")
    for tick in ticks:
        canvas.line([place(tick, 0), place(tick, 100)], FAINT)
        canvas.text((place(tick, 0)[0], bottom + 16), f"{tick:g}", 14)
    canvas.line([place(0, 100), place(0, 0), place(ticks[-1], 0)], INK, 1.3)
    canvas.text(((_LEFT + right) / 2, _HEIGHT - 22), label, 15)
    canvas.vertical_text((20, (_TOP + bottom) / 2), "faces with at most this error", 15)

    marks = (("mean", float(values.mean()), COLORS[1]), ("median", float(np.median(values)), COLORS[2]))
    x = float(_LEFT)
    for name, value, color in marks:
        canvas.dashes(place(value, 0), place(value, 100), color, 1.6)
        canvas.line([(x, 56), (x + 26, 56)], color, 2.2)
        canvas.text((x + 34, 56), f"{name} {value:.3g} %", 15, "lm", color)
        x += 190
    # A staircase: the share rises at each face's error by 100 / n.
    points = [place(0, 0)]
    for rank, value in enumerate(values.tolist()):
        points += [place(value, 100 * rank / len(values)), place(value, 100 * (rank + 1) / len(values))]
    points.append(place(ticks[-1], 100))
    canvas.line(points, COLORS[0], 2.4)
    return canvas.image()
