"""Spread points over the half skin with a prescribed spacing, around fixed boundary and feature points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from twodasl.morphable.procedural.chart import CoarseSkin, directions_of, to_chart
from twodasl.morphable.procedural.shapes import smoothstep

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


def spacing(p: Array) -> Array:
    """Wanted edge length (mm) at points (M, 3): fine at eyes, nose and lips, coarse on cranium and neck."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    h = np.full(len(p), 7.5)

    def near(
        center: tuple[float, float, float], radii: tuple[float, float, float], fine: float, coarse: float
    ) -> None:
        q = (np.column_stack([x, y, z]) - np.array(center)) / np.array(radii)
        d = np.linalg.norm(q, axis=1)
        np.minimum(h, fine + (coarse - fine) * smoothstep(0.75, 2.0, d), out=h)

    near((0, -40, 75), (62, 75, 55), 3.3, 7.5)
    near((31, 4, 72), (17, 13, 22), 1.35, 3.4)
    near((0, -67, 95), (25, 12, 30), 1.55, 3.6)
    near((4, -41, 103), (16, 9, 22), 1.25, 3.6)
    near((31, 9, 79), (13, 3, 9), 1.0, 3.4)
    near((33, 20, 80), (26, 6, 24), 1.9, 3.6)
    near((6.5, -44, 103), (6, 4, 8), 0.95, 3.6)
    near((0, -15, 95), (14, 28, 30), 2.2, 3.6)
    near((69, -22, -6), (14, 32, 16), 2.6, 7.5)
    return h


def _candidates(skin: CoarseSkin, count: int, rng: np.random.Generator) -> Array:
    """Directions of random skin points with density proportional to 1 / spacing^2."""
    grid = skin.table
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]
    area = 0.5 * np.linalg.norm(np.cross(d - a, c - b), axis=2)
    middle = ((a + b + c + d) / 4).reshape(-1, 3)
    weight = area.ravel() / spacing(middle) ** 2
    cell = rng.choice(len(weight), size=count, p=weight / weight.sum())
    s, t = rng.random((2, count, 1))
    corners = [q.reshape(-1, 3)[cell] for q in (a, b, c, d)]
    point = (1 - s) * ((1 - t) * corners[0] + t * corners[2]) + s * ((1 - t) * corners[1] + t * corners[3])
    return directions_of(point)


def _thin(points: Array, h: Array) -> IntArray:
    """Indices of a subset in which no two points are closer than ~0.8 of the spacing (earlier points win)."""
    distance, neighbor = cKDTree(points).query(points, k=32)
    conflict = (distance < 0.8 * np.minimum(h[:, None], h[neighbor])) & (
        neighbor != np.arange(len(points))[:, None]
    )
    state = np.zeros(len(points), dtype=np.int8)  # 0 undecided, 1 kept, -1 dropped
    rank = np.arange(len(points))
    while (state == 0).any():
        rival = conflict & (state[neighbor] == 0) & (neighbor < rank[:, None])
        kept = (state == 0) & ~rival.any(axis=1)
        state[kept] = 1
        losers = neighbor[kept][conflict[kept]]
        state[losers[state[losers] == 0]] = -1
    return np.flatnonzero(state == 1)


def spread_points(
    skin: CoarseSkin,
    fixed: Array,
    outside: Callable[[Array], NDArray[np.bool_]],
    forbidden: Callable[[Array], NDArray[np.bool_]],
    rounds: int = 14,
    seed: int = 7,
) -> Array:
    """Directions (F+M, 3): the ``fixed`` points' first, then the spread ones.

    fixed: (F, 3) points on the skin. outside, forbidden: chart (M, 2) -> bool (M,), true in holes and
    beyond the neck, and where no spread point may lie.
    """
    rng = np.random.default_rng(seed)
    fixed_directions = directions_of(fixed)
    directions = _candidates(skin, 45000, rng)
    directions = directions[~forbidden(to_chart(directions))]
    points = skin.points(directions)
    h = spacing(points)
    gap, _ = cKDTree(fixed).query(points)
    clear = gap > 0.75 * h
    directions, points, h = directions[clear], points[clear], h[clear]
    keep = _thin(points, h)
    directions = np.concatenate([fixed_directions, directions[keep]])
    count = len(fixed)
    for turn in range(rounds):
        points = np.concatenate([fixed, skin.points(directions[count:])])
        if turn % 2 == 0:
            chart = to_chart(directions)
            triangles = Delaunay(chart).simplices
            triangles = triangles[~outside(chart[triangles].mean(axis=1))]
        step = neighbor_shift(points, triangles, power=2)[count:]
        moved = directions_of(points[count:] + 0.6 * step)
        moved[:, 0] = np.maximum(moved[:, 0], 1e-3)
        ok = ~forbidden(to_chart(moved))
        directions[count:][ok] = moved[ok]
    return directions


def neighbor_shift(points: Array, triangles: IntArray, power: int) -> Array:
    """Vector (N, 3) from each point to its neighbors' mean, weighted by (edge length / wanted
    spacing)^power."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    tail, head = np.concatenate([edges, edges[:, ::-1]]).T
    vector = points[head] - points[tail]
    h = spacing(points)
    weight = (2 * np.sqrt((vector * vector).sum(axis=1)) / (h[head] + h[tail])) ** power
    total = np.bincount(tail, weight, minlength=len(points))
    shift = [np.bincount(tail, weight * vector[:, k], minlength=len(points)) for k in range(3)]
    return np.asarray(np.column_stack(shift) / np.maximum(total, 1e-9)[:, None], dtype=np.float64)


def resample_by_spacing(path: Array) -> Array:
    """Resample a fine polyline (L, 3) so that successive points are one wanted spacing apart; ends kept."""
    step = np.linalg.norm(np.diff(path, axis=0), axis=1)
    cells = np.r_[0, np.cumsum(step / spacing((path[1:] + path[:-1]) / 2))]
    count = max(2, int(np.ceil(cells[-1])) + 1)
    target = np.linspace(0, cells[-1], count)
    return np.column_stack([np.interp(target, cells, path[:, k]) for k in range(3)])
