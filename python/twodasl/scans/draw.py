"""Pictures of a fit: the scan, the fitted model, the distances on it from three sides, and their curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pictures.charts import (
    BLUE,
    GREEN,
    VERMILION,
    Page,
    color_bar,
    figure_image,
    heading,
    new_figure,
    nice_ticks,
    ramp,
    style,
)
from ..pictures.render import Image, camera_view, render_mesh
from .result import ScanFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE, _GAP, _LEFT, _TOP, _BAR = 360, 10, 24, 104, 170  # pixels
_SIDES = (("front", 0.0), ("turned left", 60.0), ("turned right", -60.0))
_SHADING = 0.5  # weight of the shaded picture
_UNKNOWN = (0.72, 0.76, 0.80)  # RGB of the model where the scan says nothing
_DOT = 1.6  # pixels
_COVERED = 99.0  # percentile of the distances at which the scale ends

Floats = NDArray[np.float64]


def fit_picture(fit: ScanFit, points: Floats, triangles: NDArray[np.int64] | None, title: str) -> Image:
    """The scan, then the fitted model from three sides, colored by the scan's distance.

    points: (P, 3) of the scan, and its triangles, in the scan's space. A vertex of the model has the mean
    distance of the scan's inliers around it; one without any is gray. Returns (H, W, 3) uint8 BGR.
    """
    scanned, model = _upright(fit, points), _upright(fit, fit.vertices)
    means, known = vertex_means(fit, points)
    ticks = nice_ticks(float(np.percentile(fit.residuals[fit.inliers] / fit.scale, _COVERED)), most=5)
    colors = np.where(known[:, None], ramp(means / fit.scale / ticks[-1]), np.array(_UNKNOWN, np.float32))
    used = model[np.unique(fit.triangles)]
    center = (used.min(0) + used.max(0)) / 2
    span = 1.1 * float(np.ptp(used, axis=0).max())
    column = _TILE + _GAP
    with style():
        page = Page(_LEFT + 4 * column + _BAR, _TOP + _TILE + 20)
        page.text(_LEFT, 32, title, 15)
        heads = ("the scan", *(f"distance, {words}" for words, _ in _SIDES))
        for number, words in enumerate(heads):
            page.text(_LEFT + number * column + _TILE / 2, 84, words, 11, "center")
        page.paste(_scan_tile(scanned, triangles, center, span), _LEFT, _TOP)
        for number, (_, yaw) in enumerate(_SIDES, start=1):
            view = camera_view(model, _TILE, span, center, yaw)
            flat, lit = (
                render_mesh(view, fit.triangles, _TILE, light, colors) for light in ("flat", "headlight")
            )
            tile = np.asarray(cv2.addWeighted(lit, _SHADING, flat, 1 - _SHADING, 0), np.uint8)
            page.paste(tile, _LEFT + number * column, _TOP)
        bar = page.axes(_LEFT + 4 * column + 16, _TOP, 24, _TILE)
        color_bar(bar, ticks, f"distance of the scan, {_unit(fit)} (gray: no scan)")
        return page.image()


def vertex_means(fit: ScanFit, points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(N,) mean distance of the scan's inliers around each vertex, and whether it has any."""
    from scipy.spatial import cKDTree

    inner = fit.inliers
    used = np.unique(fit.triangles)
    # The three nearest, so that a model that is finer than its scan has no gray speckles.
    _, near = cKDTree(fit.vertices[used]).query(points[inner], k=min(3, len(used)))
    vertex = used[near.reshape(-1)]
    values = np.repeat(fit.residuals[inner], near.reshape(len(points[inner]), -1).shape[1])
    count = np.bincount(vertex, minlength=len(fit.vertices))
    total = np.bincount(vertex, values, minlength=len(fit.vertices))
    return total / np.maximum(count, 1), count > 0


def distance_curve(fit: ScanFit, title: str) -> Image:
    """The share of the scan's points within each distance of the surface; (H, W, 3) uint8 BGR."""
    everything = np.sort(fit.residuals) / fit.scale
    inner = np.sort(fit.residuals[fit.inliers]) / fit.scale
    ticks = nice_ticks(float(inner[-1]))
    with style():
        figure = new_figure(7.6, 5.0)
        axes = figure.subplots()
        axes.set(xlim=(0, ticks[-1]), ylim=(0, 100))
        axes.set(xlabel=f"distance to the fitted surface, {_unit(fit)}", ylabel="points within this distance")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_yticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)])
        axes.grid(True)
        heading(figure, title)
        _curve(axes, inner, BLUE, f"inliers ({100 * len(inner) / len(everything):.0f} % of the points)")
        _curve(axes, everything, GREEN, "all points")
        median = float(np.median(inner))
        axes.axvline(median, color=VERMILION, linestyle="dashed", label=f"median of the inliers {median:.3g}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        return figure_image(figure)


def _unit(fit: ScanFit) -> str:
    return "mm" if fit.unit else "mm of the model"


def _curve(axes: Axes, values: Floats, color: str, label: str) -> None:
    chosen = np.unique(np.linspace(0, len(values) - 1, 2000).astype(int))
    axes.plot(values[chosen], 100 * (chosen + 1) / len(values), color=color, linewidth=2, label=label)


def _scan_tile(points: Floats, triangles: NDArray[np.int64] | None, center: Floats, span: float) -> Image:
    view = camera_view(points, _TILE, span, center)
    if triangles is None:
        # A cloud has no surface to shade: each point is a small square, the nearer the lighter.
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _DOT / 2
        corners = np.repeat(view[:, None], 4, axis=1)
        corners[:, :, :2] += square
        first = 4 * np.arange(len(view))[:, None]
        triangles = np.concatenate([first + np.array(half) for half in ((0, 2, 1), (0, 3, 2))])
        depth = view[:, 2]
        low, high = np.percentile(depth, [2, 98])
        gray = 0.25 + 0.6 * np.clip((depth - low) / max(high - low, 1e-9), 0, 1)
        shades = np.repeat(np.repeat(gray[:, None], 3, axis=1), 4, axis=0)
        return render_mesh(corners.reshape(-1, 3), triangles, _TILE, "flat", shades)
    return render_mesh(view, triangles, _TILE, "studio")


def _upright(fit: ScanFit, points: Floats) -> Floats:
    """Points of the scan's space in the model's, in millimeters: y up, the face toward the viewer."""
    return (points - fit.translation) @ fit.rotation / fit.scale
