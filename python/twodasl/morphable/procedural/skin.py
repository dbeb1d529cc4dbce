"""Triangulated half skin: feature loops, spread points, Delaunay in the chart, holes for eye, mouth and
ear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from twodasl.morphable.procedural.base import CENTER
from twodasl.morphable.procedural.chart import CoarseSkin, directions_of, to_chart
from twodasl.morphable.procedural.ears import attachment_loop
from twodasl.morphable.procedural.features.eyes import lid_margin
from twodasl.morphable.procedural.features.lips import CORNER_X, lower_border, upper_border
from twodasl.morphable.procedural.features.nose import press_nostrils
from twodasl.morphable.procedural.field import skin_depth, skin_points, solve_rays
from twodasl.morphable.procedural.flips import flip_edges
from twodasl.morphable.procedural.spread import neighbor_shift, resample_by_spacing, spread_points

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

NECK_Y = -176.0
MOUTH_HALF_COUNT = 17
LID_HALF_COUNT = 24


@dataclass(frozen=True)
class Skin:
    """Half skin with its loops as vertex indices.

    eye: inner corner, upper margin, outer corner, lower margin (closed). border_upper, border_lower:
    vermilion borders from the midline to the corner (shared last vertex). ear: closed attachment loop.
    neck: front to back.
    """

    points: Array
    faces: IntArray
    eye: IntArray
    ear: IntArray
    neck: IntArray
    border_upper: IntArray
    border_lower: IntArray


def inside_polygon(points: Array, polygon: Array) -> NDArray[np.bool_]:
    """Even-odd test of points (M, 2) against a polygon (K, 2)."""
    x, y = points[:, 0], points[:, 1]
    result = np.zeros(len(points), dtype=bool)
    box = (
        (x > polygon[:, 0].min())
        & (x < polygon[:, 0].max())
        & (y > polygon[:, 1].min())
        & (y < polygon[:, 1].max())
    )
    if not box.any():
        return result
    px, py = x[box, None], y[box, None]
    a, b = polygon, np.roll(polygon, -1, axis=0)
    straddle = (a[:, 1] > py) != (b[:, 1] > py)
    slope = (b[:, 0] - a[:, 0]) / np.where(a[:, 1] == b[:, 1], 1.0, b[:, 1] - a[:, 1])
    crossing = straddle & (px < a[:, 0] + (py - a[:, 1]) * slope)
    result[box] = crossing.sum(axis=1) % 2 == 1
    return result


def _offset(loop: Array, distance: float) -> Array:
    """Closed counter-clockwise-or-not planar loop moved outward by ``distance`` along smoothed normals."""
    tangent = np.roll(loop, -1, axis=0) - np.roll(loop, 1, axis=0)
    normal = np.column_stack([tangent[:, 1], -tangent[:, 0]])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    if ((loop - loop.mean(axis=0)) * normal).sum() < 0:
        normal = -normal
    return loop + distance * normal


def on_skin(xy: Array) -> Array:
    """Front-view points (M, 2) lifted onto the skin."""
    points = np.column_stack([xy, skin_depth(xy[:, 0], xy[:, 1])])
    return points


def _vermilion_border() -> tuple[Array, Array]:
    """Upper and lower vermilion borders on the skin, midline to corner, evenly spaced; the corner is
    shared."""
    rows = []
    for border in (upper_border, lower_border):
        x = np.linspace(0, CORNER_X, 300)
        y = border(x)
        length = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
        # A little denser toward the corner.
        share = np.linspace(0, 1, MOUTH_HALF_COUNT)
        x = np.interp(length[-1] * (share + 0.4 * share * (1 - share)), length, x)
        x[0] = 0.0
        rows.append(on_skin(np.column_stack([x, border(x)])))
    return rows[0], rows[1]


def _midline(
    mouth_top: Array, mouth_bottom: Array, neck_front: Array, neck_back: Array
) -> tuple[Array, Array]:
    """Two open mid-sagittal paths without their ends: chin (mouth to neck), and skull (mouth over crown to
    neck)."""
    turn = np.linspace(0, 2 * np.pi, 2401)[:-1]
    directions = np.column_stack([np.zeros_like(turn), np.sin(turn), np.cos(turn)])
    points = skin_points(directions[np.abs(turn - 1.5 * np.pi) > 0.12])
    points[:, 0] = 0.0

    def angle(p: Array) -> Array:
        ray = np.atleast_2d(p) - CENTER
        return np.asarray(np.arctan2(ray[:, 1], ray[:, 2]) % (2 * np.pi), dtype=np.float64)

    a = angle(points)
    top, bottom = angle(mouth_top)[0], angle(mouth_bottom)[0]
    front, back = angle(neck_front)[0], angle(neck_back)[0]
    chin = points[(a > front) & (a < bottom)]
    chin = np.concatenate([neck_front[None], chin[np.argsort(angle(chin))], mouth_bottom[None]])
    # The skull path starts at the mouth's top, where the angle wraps past zero at the level of the center.
    wrapped = (a - top) % (2 * np.pi)
    keep = (wrapped > 0) & (wrapped < (back - top) % (2 * np.pi))
    skull = points[keep][np.argsort(wrapped[keep])]
    skull = np.concatenate([mouth_top[None], skull, neck_back[None]])
    return resample_by_spacing(chin)[1:-1], resample_by_spacing(skull)[1:-1]


def _neck_loop() -> Array:
    turn = np.linspace(0, np.pi, 200)
    directions = np.column_stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)])
    directions[[0, -1], 0] = 0.0
    origins = np.tile([0.0, NECK_Y, -27.0], (len(turn), 1))
    t = solve_rays(origins, directions, np.full(len(turn), 95.0), pace=0.25)
    loop = resample_by_spacing(origins + t[:, None] * directions)
    loop[[0, -1], 0] = 0.0
    return loop


def _conforming(directions: Array, loops: list[IntArray], fixed: int) -> tuple[Array, IntArray]:
    """Delaunay triangles of the chart that contain every loop's edges; free points in the way are dropped."""
    pairs = np.concatenate([np.column_stack([loop[:-1], loop[1:]]) for loop in loops])
    pairs.sort(axis=1)
    for _ in range(8):
        chart = to_chart(directions)
        triangles = Delaunay(chart).simplices.astype(np.int64)
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        size = len(directions)
        missing = pairs[~np.isin(pairs[:, 0] * size + pairs[:, 1], edges[:, 0] * size + edges[:, 1])]
        if not len(missing):
            return directions, triangles
        a, b = chart[missing[:, 0]], chart[missing[:, 1]]
        gap, _ = cKDTree((a + b) / 2).query(chart[fixed:])
        reach = np.linalg.norm(a - b, axis=1).max() * 0.75
        keep = np.concatenate([np.ones(fixed, dtype=bool), gap > reach])
        if keep.all():
            break
        directions = directions[keep]
    raise RuntimeError("the head's feature loops could not be triangulated")


def _relaxed(points: Array, triangles: IntArray, moving: IntArray) -> Array:
    """The ``moving`` points moved toward their neighbors' weighted mean on the surface, and put back on
    the skin."""
    moved = points + 0.5 * neighbor_shift(points, triangles, power=1)
    moved[:, 0] = np.maximum(moved[:, 0], 0.15)
    return skin_points(directions_of(moved[moving]))


@dataclass(frozen=True)
class _Loops:
    """The feature loops: points by name, and their indices in the skin, one block after the other."""

    blocks: dict[str, Array]
    index: dict[str, IntArray]

    @property
    def points(self) -> Array:
        """All of them, in the order of the indices."""
        return np.concatenate(list(self.blocks.values()))

    def edges(self) -> list[IntArray]:
        """The paths whose edges the triangles must contain."""
        closed = [np.append(self.index[name], self.index[name][0]) for name in ("eye", "ear")]
        return [*closed, self.index["neck"], self.index["border_upper"], self.lower_border()]

    def lower_border(self) -> IntArray:
        """From the midline to the corner of the mouth, which the upper border holds."""
        return np.append(self.index["border_lower"], self.index["border_upper"][-1])


def _feature_loops() -> _Loops:
    margin = lid_margin(LID_HALF_COUNT)
    border_upper, border_lower = _vermilion_border()
    neck = _neck_loop()
    chin, skull = _midline(border_upper[0], border_lower[0], neck[0], neck[-1])
    inner_ring, outer_ring = (on_skin(_offset(margin, d)) for d in (1.1, 2.4))
    blocks = {
        "eye": on_skin(margin), "ear": attachment_loop(), "neck": neck, "chin": chin, "skull": skull,
        "border_upper": border_upper, "border_lower": border_lower[:-1],
        "ring1": inner_ring, "ring2": outer_ring,
    }  # fmt: skip
    index: dict[str, IntArray] = {}
    total = 0
    for name, block in blocks.items():
        index[name] = np.arange(total, total + len(block))
        total += len(block)
    return _Loops(blocks, index)


def _spread_skin(loops: _Loops) -> tuple[Array, IntArray, Array]:
    """Directions of the skin's points, those of the loops first; its triangles; their turn in the chart."""

    def chart_of(block: Array) -> Array:
        return to_chart(directions_of(block))

    blocks = loops.blocks
    mouth = np.concatenate([blocks["border_upper"], blocks["border_lower"][::-1]])
    holes = [chart_of(blocks["eye"]), chart_of(mouth), chart_of(blocks["ear"])]
    lid_zone = chart_of(blocks["ring2"])
    neck = chart_of(blocks["neck"])
    outer = np.concatenate([neck, [[-0.01, neck[-1, 1]], [-0.01, neck[0, 1]]]])

    def outside(chart: Array) -> NDArray[np.bool_]:
        bad = ~inside_polygon(chart, outer) | (chart[:, 0] < 0)
        for polygon in holes:
            bad |= inside_polygon(chart, polygon)
        return bad

    def forbidden(chart: Array) -> NDArray[np.bool_]:
        return outside(chart) | inside_polygon(chart, lid_zone)

    fixed = loops.points
    directions = spread_points(CoarseSkin(), fixed, outside, forbidden)
    directions, triangles = _conforming(directions, loops.edges(), len(fixed))
    chart = to_chart(directions)
    triangles = triangles[~outside(chart[triangles].mean(axis=1))]
    a, b, c = (chart[triangles[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    solid = np.abs(turn) > 1e-12
    return directions, triangles[solid], turn[solid]


def _relax(points: Array, triangles: IntArray, fixed: int) -> IntArray:
    """Moves the free points in place, and gives the triangles that then fit best."""
    free = np.arange(len(points)) >= fixed
    for sweep in range(4):
        # The steep nose needs more rounds than the rest.
        steep = (points[:, 0] < 24) & (np.abs(points[:, 1] + 40) < 15) & (points[:, 2] > 75)
        moving = np.flatnonzero(free & (steep | (sweep < 1)))
        points[moving] = _relaxed(points, triangles, moving)
        triangles = flip_edges(points, triangles)
    return triangles


def build_skin() -> Skin:
    """Triangulate the half skin."""
    loops = _feature_loops()
    fixed = loops.points
    directions, triangles, turn = _spread_skin(loops)
    points = skin_points(directions)
    points[: len(fixed)] = fixed
    # The chart (u right, v forward) looks at the head from the crown, so it shows the outside mirrored once.
    triangles = np.where((turn < 0)[:, None], triangles, triangles[:, ::-1])
    triangles = _relax(points, flip_edges(points, triangles), len(fixed))
    index = loops.index
    return Skin(
        points=press_nostrils(points), faces=triangles,
        eye=index["eye"], ear=index["ear"], neck=index["neck"],
        border_upper=index["border_upper"], border_lower=loops.lower_border(),
    )  # fmt: skip
