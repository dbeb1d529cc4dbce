"""Collects the vertices, triangles and region weights of half a head, then mirrors them into a whole one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

TIE = 1e-6
"""Diagonals that differ by less, in millimeters, are of equal length."""


@dataclass
class HalfMesh:
    """A growing mesh of the +x half. Vertices with x == 0 exactly are shared with the other half."""

    points: list[Array] = field(default_factory=list)
    faces: list[IntArray] = field(default_factory=list)
    groups: dict[str, IntArray] = field(default_factory=dict)
    count: int = 0

    def add_points(self, points: Array, group: str | None = None) -> IntArray:
        """Append points (M, 3), optionally recording them as ``group``; return their indices (M,)."""
        index = np.arange(self.count, self.count + len(points), dtype=np.int64)
        self.points.append(np.asarray(points, dtype=np.float64))
        self.count += len(points)
        if group is not None:
            self.groups[group] = np.concatenate([self.groups.get(group, np.empty(0, np.int64)), index])
        return index

    def add_faces(self, faces: IntArray) -> None:
        """Append triangles (M, 3), counter-clockwise from outside."""
        self.faces.append(np.asarray(faces, dtype=np.int64))

    def vertices(self) -> Array:
        """All points so far, (count, 3)."""
        return np.concatenate(self.points)

    def add_rings(self, rings: Sequence[IntArray], closed: bool) -> None:
        """Bridge successive rings of equal length with triangles, splitting each quad along its shorter
        diagonal.

        Seen from outside, each next ring lies to the left of the direction of travel along the ring.
        """
        p = self.vertices()
        for inner, outer in pairwise(rings):
            a, b = inner, outer
            if closed:
                a1, b1 = np.roll(a, -1), np.roll(b, -1)
            else:
                a, a1, b, b1 = a[:-1], a[1:], b[:-1], b[1:]
            # Many quads are symmetric: without the margin, rounding would choose and differ by machine.
            one = np.linalg.norm(p[a] - p[b1], axis=1) <= np.linalg.norm(p[a1] - p[b], axis=1) + TIE
            first = np.where(one[:, None], np.column_stack([a, a1, b1]), np.column_stack([a, a1, b]))
            second = np.where(one[:, None], np.column_stack([a, b1, b]), np.column_stack([a1, b1, b]))
            faces = np.concatenate([first, second])
            distinct = (
                (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
            )
            self.add_faces(faces[distinct])

    def add_fan(self, ring: IntArray, tip: int) -> None:
        """Close a ring onto a tip lying to the left of the direction of travel."""
        self.add_faces(np.column_stack([ring, np.roll(ring, -1), np.full(len(ring), tip)]))


def mirrored(half: HalfMesh) -> tuple[Array, IntArray, IntArray, IntArray]:
    """Return (vertices, triangles, mirror, left): the whole mesh and the index of each half vertex in it.

    Half vertex i keeps its index i (subject's left, +x); its twin is ``mirror[i]``.
    """
    points = half.vertices()
    faces = np.concatenate(half.faces)
    midline = points[:, 0] == 0.0
    twin = np.where(midline, np.arange(len(points)), 0)
    twin[~midline] = len(points) + np.arange(int((~midline).sum()))
    vertices = np.concatenate([points, points[~midline] * [-1.0, 1.0, 1.0]])
    triangles = np.concatenate([faces, twin[faces][:, ::-1]])
    mirror = np.concatenate([twin, np.flatnonzero(~midline)])
    return vertices, triangles, mirror.astype(np.int64), np.arange(len(points), dtype=np.int64)
