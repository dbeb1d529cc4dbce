"""The texture layout of the embedded head: its skin cut open at the back, and two disks for each eyeball.

The skin with lips, ears, sockets and the mouth's inside is one sheet, so that no seam crosses a face; it
fills a rectangle, below which a strip is left for the eyeballs. Left and right are mirror images about
u = 0.5.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags

from ..uv import UvLayout, mirrored_layout
from .flatten import lower_energy, tutte
from .head import HeadMesh, mean_head
from .shapes import smoothstep

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

GRID = 2.0**-20
"""Coordinates are multiples of this."""

_MARGIN = 0.004  # of the texture, around the sheet
_STRIP = 0.122  # height of the eyeballs' strip
_EYE, _EYE_GAP, _EYE_BACK = 0.056, 0.008, 0.030  # radii of the front and back of an eye, and what is between
# The length of an edge in the texture relative to one in the face.
_FACE, _ELSEWHERE, _FEATURES, _EAR, _SOCKET, _MOUTH = 1.0, 0.40, 1.25, 0.55, 0.22, 0.22
_SMOOTHING = 8  # rounds of averaging those with the neighbors
_ROUNDS = 30  # of descent; the last moves nothing by a texel


def build_layout() -> UvLayout:
    """Compute the embedded head's layout, in half a minute; `uv_layout` reads the shipped one."""
    return mirrored_layout(*half_layout())


def half_layout() -> tuple[Array, IntArray, IntArray]:
    """Places (M, 2) of the +x half's corners, their vertices (M,), and triangles (T / 2, 3) into them."""
    head = mean_head()
    points = head.vertices
    faces = head.triangles[: len(head.triangles) // 2]
    ball = head.regions["eyeball_left"] > 0
    on_ball = ball[faces[:, 0]]
    used = np.unique(faces[~on_ball])
    local = np.full(len(points), -1)
    local[used] = np.arange(len(used))
    sheet = _sheet(points[used], local[faces[~on_ball]], _lengths(head)[used])
    eye, eye_vertices, eye_faces = _eye(head, faces[on_ball])
    triangles = np.empty_like(faces)
    triangles[~on_ball] = local[faces[~on_ball]]
    triangles[on_ball] = eye_faces + len(used)
    places = np.round(np.concatenate([sheet, eye]) / GRID) * GRID
    return places, np.concatenate([used, eye_vertices]), triangles


def _lengths(head: HeadMesh) -> Array:
    """(N,) how long an edge should be in the texture, relative to the face's."""
    regions = head.regions
    _, y, z = head.vertices.T
    front = smoothstep(-8, 30, z) * smoothstep(-128, -104, y) * smoothstep(104, 72, y)
    length = _ELSEWHERE + (_FACE - _ELSEWHERE) * front
    lids = ("upper_lid_left", "upper_lid_right", "lower_lid_left", "lower_lid_right")
    parts = [regions[name] for name in (*lids, "lip_upper", "lip_lower")]
    length = length + (_FEATURES - length) * np.clip(np.max(parts, axis=0), 0, 1)
    behind = np.maximum(regions["eye_socket_left"], regions["eye_socket_right"])
    for part, value in ((regions["ears"], _EAR), (behind, _SOCKET), (regions["mouth_interior"], _MOUTH)):
        length = np.where(part > 0, value, length)
    return length


def _sheet(points: Array, faces: IntArray, length: Array) -> Array:
    """Places (n, 2) of the skin's +x half: between u = 0.5 and the texture's right border."""
    mean = neighbor_mean(faces, len(points))
    for _ in range(_SMOOTHING):
        length = (length + mean @ length) / 2
    width, height = 0.5 - _MARGIN, 1 - _MARGIN - _STRIP
    fixed, held = _border(points, faces, length, width, height)
    share = length[faces].mean(axis=1)
    rest = _flat(points, faces) * share[:, None, None]
    rest *= np.sqrt(width * height / (np.linalg.det(rest).sum() / 2))
    places = lower_energy(tutte(faces, len(points), fixed), faces, rest, held, _ROUNDS)
    return places + np.array([0.5, _STRIP])


def _flat(points: Array, faces: IntArray) -> Array:
    """(T, 2, 2) the two edges from each triangle's first corner, as columns, in its own plane."""
    first, second = (points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2))
    along = np.linalg.norm(first, axis=1)
    x = (first * second).sum(axis=1) / along
    y = np.linalg.norm(np.cross(first, second), axis=1) / along
    return np.stack([np.stack([along, x], axis=1), np.stack([0 * x, y], axis=1)], axis=1)


def _border(
    points: Array, faces: IntArray, length: Array, width: float, height: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Where the border begins (n, 2), NaN inside; and which of its coordinates stay: it slides along the
    rectangle's sides."""
    loop = border_loop(faces)
    inner = points[loop, 0] == 0.0
    crown = loop[np.argmax(np.where(inner, points[loop, 1], -np.inf))]
    loop = np.roll(loop, -int(np.flatnonzero(loop == crown)[0]))
    neck = np.flatnonzero(points[loop, 0] > 0)
    down, below, back = (
        loop[: neck[0]],
        loop[neck[0] - 1 : neck[-1] + 2],
        np.r_[loop[neck[-1] + 1 :], loop[0]],
    )
    climbed = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points[back], axis=0), axis=1))]
    turn = int(np.argmin(np.abs(climbed - climbed[-1] * height / (height + width))))
    up, across = back[: turn + 1], back[turn:]
    fixed, held = np.full((len(points), 2), np.nan), np.zeros((len(points), 2), np.bool_)
    corners = np.array([(0, height), (0, 0), (width, 0), (width, height), (0, height)])
    for path, (start, end) in zip((down, below, up, across), pairwise(corners), strict=True):
        step = np.linalg.norm(np.diff(points[path], axis=0), axis=1) * (length[path][1:] + length[path][:-1])
        share = np.r_[0, np.cumsum(step)] / step.sum()
        fixed[path] = start + share[:, None] * (end - start)
        held[path] |= start == end
    return fixed, held


def border_loop(faces: IntArray) -> IntArray:
    """The vertices along the border of a disk of triangles, in the triangles' direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, index, times = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    follows = dict(edges[index[times == 1]].tolist())
    loop = [min(follows)]
    while (successor := follows[loop[-1]]) != loop[0]:
        loop.append(successor)
    assert len(loop) == len(follows), "the border is one loop"
    return np.array(loop)


def neighbor_mean(faces: IntArray, count: int) -> csr_matrix:
    """(n, n) the mean over a vertex's neighbors."""
    both = np.concatenate([faces, faces[:, ::-1]])
    rows, columns = both.ravel(), np.roll(both, 1, axis=1).ravel()
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count)).tocsr()
    graph.data[:] = 1
    return csr_matrix(diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph)


def _eye(head: HeadMesh, faces: IntArray) -> tuple[Array, IntArray, IntArray]:
    """The left eyeball as two disks, polar about the gaze: places, vertices, and triangles into them."""
    ball = head.eyeballs["left"]
    arm = head.vertices - ball.center
    angle = np.arccos(np.clip(arm[:, 2] / np.maximum(np.linalg.norm(arm, axis=1), 1e-9), -1, 1))
    behind = angle[faces].mean(axis=1) > np.pi / 2
    border = float(angle[faces[~behind]].max())
    middle = _STRIP / 2
    front_at = np.array([0.5 + _EYE + _EYE_GAP, middle])
    back_at = front_at + np.array([_EYE + _EYE_GAP + _EYE_BACK, 0])
    places, vertices, triangles, count = [], [], np.empty_like(faces), 0
    for part, center, radius, sign in ((~behind, front_at, _EYE, 1), (behind, back_at, _EYE_BACK, -1)):
        own, index = np.unique(faces[part], return_inverse=True)
        away = angle[own] / border if sign > 0 else (np.pi - angle[own]) / (np.pi - angle[own].min())
        around = np.arctan2(arm[own, 1], sign * arm[own, 0])
        ring = np.column_stack([np.cos(around), np.sin(around)])
        places.append(center + radius * away[:, None] * ring)
        vertices.append(own)
        triangles[part] = index.reshape(-1, 3) + count
        count += len(own)
    return np.concatenate(places), np.concatenate(vertices), triangles
