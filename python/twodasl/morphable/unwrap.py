"""A texture layout for any head mesh: unrolled around the vertical axis, and islands for what that hides.

The outermost surface around the axis becomes one chart, cut at the back. Triangles that lie below another one
there (ears' backs, eyeballs, the mouth's inside), or face the axis, are grouped into islands that are seen
along one coordinate axis. Whether two triangles overlap is decided at the pixels of a picture of RASTER
pixels; what loses such a pixel goes into an island of the next round.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..errors import InputError
from .uv import UvLayout

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

RASTER = 1024
"""Edge in pixels of the picture in which overlaps are looked for."""

_MARGIN = 2 / 512  # between islands, and around them; less where there are very many
_STRIPS = (0.0, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8)  # heights that the islands may take from the chart
_ENOUGH = 0.5  # an island's scale relative to the chart's from which its strip is high enough
_ROUNDS = 12
_WIDE = np.pi / 4  # radians: wider triangles are about the axis itself, at the crown
_THIN = 1e-6  # of the mean area: the mesh's and the chart's triangles below it are laid out on their own


def unwrapped(mean: NDArray[np.floating], triangles: NDArray[np.integer]) -> UvLayout:
    """The layout of a mesh (N, 3), y up, +z the front, with triangles (T, 3).

    Raises:
        InputError: there are no triangles, or they lie over each other however they are cut apart.
    """
    points, faces = np.asarray(mean, np.float64), np.asarray(triangles, np.int64)
    if not len(faces):
        raise InputError("triangles: expected a face model with a surface to lay out, got none")
    chart, radius = _around(points, faces)
    area = _doubled_area(chart)
    apart = (area <= _THIN * np.abs(area).mean()) | (np.ptp(chart[..., 0], axis=1) > _WIDE * _size(points))
    apart |= _below(chart / np.ptp(chart.reshape(-1, 2), axis=0).max(), radius, ~apart, RASTER // 2)
    # 0 the chart; other numbers, the islands.
    island = np.where(apart, -1, 0)
    places = chart
    for _ in range(_ROUNDS):
        new = island < 0
        if new.any():
            island[new] = _patches(points, faces, new) + max(int(island.max()), 0) + 1
            places[new] = _seen_along_axes(points, faces[new], island[new])
        packed = _packed(places, island, points, faces)
        lost = _below(packed, np.zeros((len(faces), 3)), np.ones(len(faces), np.bool_), RASTER)
        if not lost.any():
            return _welded(packed, faces, island)
        island[lost] = -1
    raise InputError(
        f"triangles: {int(lost.sum())} of {len(faces)} still lie over others in a texture; the mesh may hold"
        " triangles twice, or smaller than a texel"
    )


def _around(points: Array, faces: IntArray) -> tuple[Array, Array]:
    """Places (T, 3, 2) of the triangles' corners around the axis, in the mesh's units; and their distances
    (T, 3) from the middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    away = points - middle
    flat, size = np.hypot(away[:, 0], away[:, 2]), _size(points)
    angle = np.arctan2(away[:, 0], away[:, 2])[faces]
    # Across the cut at the back a triangle continues beyond half a turn.
    crosses = np.ptp(angle, axis=1) > np.pi
    angle = np.where(crosses[:, None] & (angle < 0), angle + 2 * np.pi, angle)
    # Below the middle a cylinder, above it a dome: the crown is not squeezed into a line.
    rise = np.where(away[:, 1] > 0, size * np.arctan2(away[:, 1], flat), away[:, 1])
    return np.stack([size * angle, rise[faces]], axis=2), np.linalg.norm(away, axis=1)[faces]


def _size(points: Array) -> float:
    """A usual distance from the axis: that of the places' cylinder."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return float(np.median(np.hypot(*(points - middle)[:, [0, 2]].T)))


def _doubled_area(places: Array) -> Array:
    """(T,) twice the signed areas of triangles (T, 3, 2)."""
    a, b = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _below(places: Array, height: Array, among: NDArray[np.bool_], raster: int) -> NDArray[np.bool_]:
    """Which triangles (T,) of `among` must go for no pixel to be covered twice: the lower ones.

    places: (T, 3, 2), at most 1 apart. height: (T, 3); of equal ones the later triangle goes. raster: edge
    of the picture in which that is looked for.
    """
    import twodasl_ext

    gone = np.zeros(len(places), np.bool_)
    low = places[among].reshape(-1, 2).min(axis=0) if among.any() else 0
    corners = np.concatenate([(places - low) * (raster - 1), height[..., None]], axis=2)
    corners[..., 2] /= max(float(np.abs(height).max()), 1e-12)
    while (kept := np.flatnonzero(among & ~gone)).size:
        winners = []
        # The nearest surface at each pixel, and the farthest: more than one triangle where they differ.
        for sign, order in ((1, kept), (-1, kept[::-1])):
            part = corners[order] * [1, 1, sign]
            flat = torch.from_numpy(part.reshape(1, -1, 3).astype(np.float32))
            index = torch.arange(3 * len(order)).reshape(-1, 3)
            drawn = twodasl_ext.rasterize(flat, index, (raster, raster))[0][0].numpy()
            winners.append(np.where(drawn >= 0, order[drawn], -1))
        first, last = winners
        losers = np.unique(last[first != last])
        if not len(losers):
            break
        gone[losers] = True
    return gone


def _normals(points: Array, faces: IntArray) -> Array:
    a, b, c = (points[faces[:, k]] for k in range(3))
    return np.asarray(np.cross(b - a, c - a))


def _patches(points: Array, faces: IntArray, chosen: NDArray[np.bool_]) -> IntArray:
    """Numbers from 0 for the chosen triangles: connected over edges, and facing along the same axis."""
    own = faces[chosen]
    normals = _normals(points, own)
    axis = np.abs(normals).argmax(axis=1)
    facing = 2 * axis + (np.take_along_axis(normals, axis[:, None], 1)[:, 0] < 0)
    edges = np.sort(np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]]), axis=1)
    key = (edges[:, 0] * len(points) + edges[:, 1]) * 6 + np.tile(facing, 3)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    row, column = order[same] % len(own), order[same + 1] % len(own)
    graph = coo_matrix((np.ones(len(row)), (row, column)), shape=(len(own), len(own)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _seen_along_axes(points: Array, faces: IntArray, island: IntArray) -> Array:
    """Places (T, 3, 2) of triangles, each island seen along the axis that it faces, in the mesh's units."""
    normals = _normals(points, faces)
    axis = np.abs(normals).argmax(axis=1)
    sign = np.sign(np.take_along_axis(normals, axis[:, None], 1)[:, 0])
    corners = points[faces]
    right = np.take_along_axis(corners, ((axis + 1) % 3)[:, None, None], 2)[..., 0]
    up = np.take_along_axis(corners, ((axis + 2) % 3)[:, None, None], 2)[..., 0]
    places = np.stack([right * np.where(sign == 0, 1, sign)[:, None], up], axis=2)
    area = _doubled_area(places)
    flat = area <= _THIN * max(float(area.mean()), 1e-12)
    # What has no area in space has none to show: a small triangle, anywhere inside its island's box.
    edge = np.sqrt(max(float(area.mean()), 1e-12))
    places[flat] = places[flat].mean(axis=1, keepdims=True) + edge * np.array([(0, 0), (1, 0), (0, 1)]) * 0.1
    return places


def _packed(places: Array, island: IntArray, points: Array, faces: IntArray) -> Array:
    """Places (T, 3, 2) in [0, 1]: the chart above, the islands in rows below it."""
    count = int(island.max()) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, island, places.min(axis=1))
    np.maximum.at(high, island, places.max(axis=1))
    extent = high - low
    there = np.flatnonzero(np.isfinite(extent[:, 0]))
    others = there[there > 0]
    margin = min(_MARGIN, 0.1 / np.sqrt(max(len(others), 1)))
    unit = (1 - 2 * margin) / max(float(extent[0].max()), 1e-12) if 0 in there else 1.0
    for strip in _STRIPS if 0 in there else (1.0,):
        if not len(others):
            corner, scale = np.zeros((count, 2)), 1.0
            break
        if strip == 0:
            continue
        corner, scale = _shelves(extent, others, strip, margin)
        if scale >= _ENOUGH * unit:
            break
    packed = np.empty_like(places)
    inner = island > 0
    own = island[inner]
    packed[inner] = (places[inner] - low[own][:, None]) * scale + corner[own][:, None]
    if 0 in there:
        size = np.array([1 - 2 * margin, 1 - strip - 2 * margin])
        shown = (places[~inner] - low[0]) / np.maximum(extent[0], 1e-12)
        packed[~inner] = shown * size + [margin, strip + margin]
    return packed


def _shelves(extent: Array, islands: IntArray, height: float, margin: float) -> tuple[Array, float]:
    """Where the lower left corners of islands go in a strip of width 1, and by how much all are scaled."""
    order = islands[np.argsort(-extent[islands, 1], kind="stable")]
    corner = np.zeros_like(extent)
    low, high = 0.0, (1 - 2 * margin) / max(float(extent[islands].max()), 1e-12)
    for _ in range(24):
        scale = (low + high) / 2
        if _laid(extent, order, scale, height, margin, corner):
            low = scale
        else:
            high = scale
    _laid(extent, order, low, height, margin, corner)
    return corner, low


def _laid(extent: Array, order: IntArray, scale: float, height: float, margin: float, corner: Array) -> bool:
    """Fills `corner` row by row, highest islands first; whether the rows fit."""
    x, top, row = margin, margin, 0.0
    for number, (wide, tall) in zip(order.tolist(), (extent[order] * scale).tolist(), strict=True):
        if x + wide + margin > 1 and row > 0:
            x, top, row = margin, top + row + margin, 0.0
        if row == 0.0:
            row = tall
        corner[number] = x, top
        x += wide + margin
        if top + row + margin > height:
            return False
    return True


def _welded(places: Array, faces: IntArray, island: IntArray) -> UvLayout:
    """One corner for all triangles of an island that have it in the same place."""
    coordinates = places.astype(np.float32).reshape(-1, 2)
    key = np.column_stack([faces.ravel(), coordinates.view(np.int32), np.repeat(island, 3)])
    _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return UvLayout(np.clip(coordinates[first], 0, 1), faces.ravel()[first], index.reshape(-1, 3))
