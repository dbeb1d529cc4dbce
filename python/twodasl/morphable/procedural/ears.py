"""The ear: a relief over a plane leaning out from the head, with a back and a loop that welds it to the
skin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from twodasl.morphable.procedural.builder import HalfMesh
from twodasl.morphable.procedural.chart import directions_of
from twodasl.morphable.procedural.field import skin_points
from twodasl.morphable.procedural.shapes import bell, smoothstep, stroke

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

COUNT = 52
_LEAN, _TILT = np.radians(24.0), np.radians(10.0)
_BACK = np.array([np.sin(_LEAN), -np.sin(_TILT) * np.cos(_LEAN), -np.cos(_TILT) * np.cos(_LEAN)])
_OUT = np.array([np.cos(_LEAN), 0.0, np.sin(_LEAN)])
_OUT = _OUT - _BACK * (_OUT @ _BACK)
_OUT = _OUT / np.linalg.norm(_OUT)
_UP = np.cross(_BACK, _OUT) * -1.0
_ORIGIN = np.array([72.5, -15.0, -4.0])

# Outline in the ear's plane, (back, up), from the front of the lobe, under it and up the helix, and down in
# front.
_OUTLINE = np.array([
    (-7.5, -22), (-6, -28), (-1.5, -31.5), (4, -30.5), (9, -25.5), (13, -18.5), (17.5, -10.5), (22, -1.5),
    (25.3, 8), (25.6, 17), (22, 25), (14.5, 30), (6, 31), (-1.5, 28.5), (-6, 22.5),
    (-7.5, 15), (-8.2, 7.5), (-8.4, 0),
    (-8.4, -7), (-8.2, -15),
], dtype=np.float64)  # fmt: skip
_CONCHA = np.array([2.5, -2.0])
# Rings of the front, from the rim inward, as shares of the way from the concha out to the outline.
_RELIEF_RINGS = (
    *(0.985, 0.955, 0.92, 0.88, 0.84, 0.80, 0.76, 0.71),
    *(0.66, 0.60, 0.54, 0.47, 0.39, 0.30, 0.20, 0.10),
)


def _outline() -> Array:
    closed = np.concatenate([_OUTLINE, _OUTLINE[:1]])
    step = np.r_[0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    return np.asarray(CubicSpline(step, closed, axis=0, bc_type="periodic")(
        np.linspace(0, step[-1], COUNT, endpoint=False)))  # fmt: skip


def _place(ab: Array, height: Array) -> Array:
    """Ear-plane coordinates (M, 2) and height over the plane (M,) -> head coordinates (M, 3)."""
    return _ORIGIN + ab[:, :1] * _BACK + ab[:, 1:] * _UP + height[:, None] * _OUT


def _skin_height(ab: Array) -> Array:
    """Height (M,) of the head's own skin over the ear's plane, near ear-plane points (M, 2)."""
    skin = skin_points(directions_of(_place(ab, np.zeros(len(ab)))))
    return np.asarray((skin - _ORIGIN) @ _OUT, dtype=np.float64)


def _front(outline: Array) -> Array:
    """How much each outline point belongs to the ear's front, which has no free edge (COUNT,)."""
    weight = np.exp(-((np.minimum(outline[:, 0] + 7.6, 0)) ** 2) / 10) * smoothstep(-1.0, -7.0, outline[:, 0])
    return np.asarray(gaussian_filter1d(weight, 2.2, mode="wrap"), dtype=np.float64)


def attachment_loop() -> Array:
    """Closed loop (COUNT, 3) on the skin where the ear is welded on; pairs up with the ear's outline."""
    ab = _outline()
    front = _front(ab)
    back = np.where(ab[:, 0] > -8, -8 + (ab[:, 0] + 8) * 0.62, ab[:, 0])
    back = back - 3.2 * front * smoothstep(-27, -14, ab[:, 1])
    loop = np.column_stack([back, -1 + (ab[:, 1] + 1) * (0.80 + 0.10 * front)])
    return skin_points(directions_of(_place(loop, np.zeros(len(loop)))))


def _relief(ab: Array) -> Array:
    q = np.column_stack([ab, np.zeros(len(ab))])
    h = stroke(q, [(0.5, 2.0, 1.6, 1.5), (-4.5, 7, 1.8, 3.0), (-5.0, 15, 1.9, 3.2), (-3.2, 23, 2.0, 4.2),
                   (3.5, 28, 2.0, 4.6), (13.0, 27.5, 2.1, 4.8), (20, 22.5, 2.2, 4.8), (22.6, 14.5, 2.2, 4.6),
                   (21.8, 7, 2.2, 4.2), (18.6, -2, 2.1, 3.6), (14, -11, 2.1, 2.6),
                   (10.5, -18, 2.4, 1.2)])  # fmt: skip
    h = np.maximum(h, stroke(q, [(6.5, -13.0, 2.2, 3.6), (11.5, -7, 2.3, 3.8), (14.0, 0, 2.5, 4.4),
                                 (13.6, 7, 2.8, 4.4), (10.5, 14, 3.0, 3.4),
                                 (8.0, 21, 3.0, 1.6)]))  # fmt: skip
    h = np.maximum(h, stroke(q, [(13.6, 7, 2.4, 4.2), (8, 11.5, 2.2, 3.4), (2, 13.5, 2.2, 2.0)]))
    bowl = np.exp(-((((ab[:, 0] - 4.0) / 7.0) ** 2 + ((ab[:, 1] + 3.0) / 8.5) ** 2) ** 2))
    h = h - 6.5 * bowl
    h = h + 5.2 * bell(np.hypot((ab[:, 0] + 4.6) / 1.0, (ab[:, 1] + 4.0) / 1.7), 2.4)
    h = h + 1.8 * bell(np.hypot(ab[:, 0] - 1, ab[:, 1] + 23), 6.0)
    return np.asarray(h, dtype=np.float64)


def add_ear(mesh: HalfMesh, loop: IntArray) -> None:
    """Weld the left ear onto the closed skin loop (indices (COUNT,))."""
    outline = _outline()
    weld = mesh.vertices()[loop]
    front = _front(outline)
    # In front the ear has no edge of its own: it rises out of the cheek, so its plane comes down to the
    # skin, which falls away from that plane as far as the ear leans.
    offset = weld - _ORIGIN
    skin_height = offset @ _OUT - (outline[:, 0] - offset @ _BACK) * np.tan(_LEAN)
    sink = front * (skin_height + 0.5)

    def ring(s: float, extra: Array) -> IntArray:
        ab = _CONCHA + s * (outline - _CONCHA)
        settle = sink * smoothstep(0.70, 0.97, np.full(COUNT, s))
        return mesh.add_points(_place(ab, extra + settle), "ears")

    rim_height = -2.4 * (1 - front)
    scale = (0.955 + 0.06 * front)[:, None]
    edge = _CONCHA + scale * (outline - _CONCHA)
    # Nowhere may the back of the rim sink into the head, which bulges toward it above the ear.
    floor = _skin_height(edge)
    rim = _place(edge, np.maximum(rim_height + sink, floor + 0.5))
    middle = _CONCHA + 0.80 * (outline - _CONCHA)
    bend = _place(middle, np.maximum(-4.5 * (1 - front), _skin_height(middle) + 1.0))
    along = (rim - weld) * [0.0, 1.0, 1.0]
    bend = bend + front[:, None] * (weld + 0.7 * along - bend)
    rings = [loop]
    for share in (0.25, 0.5, 0.78):
        point = (1 - share) ** 2 * weld + 2 * share * (1 - share) * bend + share**2 * rim
        rings.append(mesh.add_points(point, "ears"))
    rings.append(mesh.add_points(rim, "ears"))
    settled = sink * smoothstep(0.70, 0.97, np.full(COUNT, 0.99))
    rings.append(ring(0.99, np.maximum(-0.6 * (1 - front), floor + 0.8 - settled)))
    for s in _RELIEF_RINGS:
        rings.append(ring(s, _relief(_CONCHA + s * (outline - _CONCHA)) * (1 - front * (s > 0.97) * 0.7)))
    mesh.add_rings(rings, closed=True)
    tip = mesh.add_points(_place(_CONCHA[None], _relief(_CONCHA[None])), "ears")
    mesh.add_fan(rings[-1], int(tip[0]))
