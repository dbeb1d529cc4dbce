"""Eyeballs and the closed sockets behind the lids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.builder import HalfMesh
from twodasl.morphable.procedural.features.eyes import EYE_CENTER, EYE_RADIUS

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

IRIS_ANGLE = np.radians(29.4)
PUPIL_ANGLE = np.radians(9.2)
_RINGS = np.radians([4.5, 8.3, 10.1, 14, 19, 24, 28.2, 30.6, 36, 43, 51, 60, 74, 95, 120, 150])
_AROUND = 32


def add_eyeball(mesh: HalfMesh) -> None:
    """Closed left eyeball, polar about the gaze (+z), rings doubled at the edges of pupil and iris."""
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)

    def sphere(angle: float, turns: Array) -> Array:
        cornea = 0.55 * max(0.0, 1 - (angle / IRIS_ANGLE) ** 2) ** 2
        radial = np.column_stack(
            [np.sin(angle) * np.cos(turns), np.sin(angle) * np.sin(turns), np.full(len(turns), np.cos(angle))]
        )
        return np.asarray(EYE_CENTER + (EYE_RADIUS + cornea) * radial, dtype=np.float64)

    front = mesh.add_points(sphere(0.0, np.zeros(1)), "eyeball")
    rings = [mesh.add_points(sphere(float(angle), turn), "eyeball") for angle in _RINGS]
    back = mesh.add_points(sphere(np.pi, np.zeros(1)), "eyeball")
    # Rings run counter-clockwise seen from the front, so the next, wider ring lies to the right: bridge
    # inward.
    mesh.add_rings(rings[::-1], closed=True)
    mesh.add_fan(rings[0], int(front[0]))
    mesh.add_fan(rings[-1][::-1], int(back[0]))


def add_socket(mesh: HalfMesh, margin: IntArray) -> None:
    """Lid edges, caruncle and a bag around the eyeball, behind the closed lid margin (indices (L,))."""
    edge = mesh.vertices()[margin] - EYE_CENTER
    distance = np.linalg.norm(edge, axis=1)
    unit = edge / distance[:, None]
    angle = np.arccos(np.clip(unit[:, 2], -1, 1))
    azimuth = np.arctan2(unit[:, 1], unit[:, 0])
    inner_corner = np.exp(-(np.linalg.norm(edge - edge[0], axis=1) ** 2) / (2 * 3.2**2))

    def ring(angles: Array, radii: Array) -> IntArray:
        radial = np.column_stack(
            [np.sin(angles) * np.cos(azimuth), np.sin(angles) * np.sin(azimuth), np.cos(angles)]
        )
        return mesh.add_points(EYE_CENTER + radii[:, None] * radial, "socket")

    rim = np.maximum(EYE_RADIUS + 0.3, distance - 1.6)
    count = len(margin)
    # Straight edges cut inside the sphere they span, so rings further apart stand further off the eyeball.
    rings = [margin, ring(angle, rim)]
    rings.append(
        ring(angle + np.radians(7) - inner_corner * np.radians(16), np.full(count, EYE_RADIUS + 0.22))
    )
    rings.append(ring(angle + np.radians(17), np.full(count, EYE_RADIUS + 0.5)))
    rings.append(ring(np.maximum(angle + np.radians(28), np.radians(62)), np.full(count, EYE_RADIUS + 0.7)))
    for degrees, gap in ((80.0, 1.0), (105.0, 1.4), (132.0, 1.6), (158.0, 1.6)):
        rings.append(ring(np.full(count, np.radians(degrees)), np.full(count, EYE_RADIUS + gap)))
    mesh.groups["lid_edge"] = rings[1]
    mesh.groups["caruncle"] = rings[2][inner_corner > 0.3]
    tip = mesh.add_points(EYE_CENTER[None] + [[0, 0, -EYE_RADIUS - 1.8]], "socket")
    # The margin runs clockwise seen from the front; the bag lies inside it, to the right: reverse.
    rings = [r[::-1] for r in rings]
    mesh.add_rings(rings, closed=True)
    mesh.add_fan(rings[-1], int(tip[0]))
