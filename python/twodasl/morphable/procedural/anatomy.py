"""Anatomy of the mean head, in whose terms shape modes, expressions, and colors are written.

Everything is derived from landmarks, regions, and eyeballs; nothing depends on vertex numbering, so the
sculpt may change under the modes. Fields over the head are (N, 3) displacements in millimeters.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, diags

from .head import HeadMesh
from .shapes import smoothstep

Array = NDArray[np.float64]

# How far from the eyeball's surface (mm) the skin still moves with the eye, and where it no longer does.
LID_REACH, ORBIT_REACH = 3.0, 18.0


class Anatomy:
    """The mean head measured: coordinates, landmarks of the subject's left (+x) half, and brushes."""

    def __init__(self, head: HeadMesh) -> None:
        self.head = head
        self.points: Array = head.vertices
        self.marks: Array = head.vertices[head.landmarks68]
        self.regions = head.regions
        self.x, self.y, self.z = head.vertices.T
        self.across: Array = np.abs(self.x)
        self.side: Array = np.sign(self.x)
        self.eye: Array = head.eyeballs["left"].center
        self.eye_radius: float = head.eyeballs["left"].radius
        self.skull_back, self.crown = float(self.z.min()), float(self.y.max())
        self.ear: Array = self.points[head.regions["ear_left"] > 0.5].mean(0)

    # Landmarks by name, on the subject's left where there are two.
    def mark(self, index: int) -> Array:
        """(3,) position of iBUG landmark `index`."""
        return self.marks[index]

    @cached_property
    def brow(self) -> Array:
        """(3,) middle of the left brow."""
        return self.marks[24]

    @cached_property
    def mouth(self) -> Array:
        """(3,) where the lips meet on the midline."""
        return (self.marks[62] + self.marks[66]) / 2

    @cached_property
    def gonion(self) -> Array:
        """(3,) the left angle of the jaw: below the ear at the height of the mouth's corner, on the jaw's
        outline."""
        return (self.marks[12] + self.marks[13]) / 2

    # Brushes: weights (N,) in [0, 1].
    def bump(self, center: ArrayLike, radii: ArrayLike) -> Array:
        """Gaussian of standard deviations `radii` (mm: x, y, z or one for all) about a point and its mirror
        image."""
        here = np.column_stack([self.across, self.y, self.z])
        return np.asarray(np.exp(-0.5 * (((here - np.asarray(center)) / np.asarray(radii)) ** 2).sum(1)))

    def ramp(self, values: Array, zero: float | Array, one: float | Array) -> Array:
        """Smooth step that is 0 at `zero` and 1 at `one`, whichever is larger."""
        t = np.clip((values - zero) / (np.asarray(one) - zero), 0.0, 1.0)
        return np.asarray(t * t * t * (t * (6 * t - 15) + 10))

    def push(self, weight: Array, lateral: float = 0.0, up: float = 0.0, forward: float = 0.0) -> Array:
        """Field (N, 3): `weight` times a direction whose x points away from the midline."""
        return weight[:, None] * np.column_stack(
            [lateral * self.side, np.full(len(weight), up), np.full(len(weight), forward)]
        )

    def away(self, center: ArrayLike) -> Array:
        """Vectors (N, 3) to the vertices from a point of the left half, or its mirror image on the right."""
        center = np.asarray(center, dtype=np.float64)
        mirrored = np.where(self.side[:, None] < 0, center * [-1, 1, 1], center)
        return self.points - mirrored

    @cached_property
    def eye_distance(self) -> Array:
        """(N,) millimeters from the surface of the nearer eyeball, negative inside."""
        return np.linalg.norm(self.away(self.eye), axis=1) - self.eye_radius

    @cached_property
    def with_eye(self) -> Array:
        """(N,) how far a vertex belongs to the eye: 1 on eyeball and lids, 0 beyond the orbit."""
        inside = np.zeros(len(self.points))
        for name in ("eyeball", "eye_socket", "caruncle"):
            inside = np.maximum(inside, self.regions[f"{name}_left"] + self.regions[f"{name}_right"])
        near = 1 - smoothstep(LID_REACH, ORBIT_REACH, self.eye_distance)
        front = smoothstep(self.eye[2] - 25, self.eye[2] - 5, self.z)
        return np.maximum(near * front, np.minimum(inside, 1))

    @cached_property
    def neighbors(self) -> csr_matrix:
        """(N, N) the mean over a vertex's neighbors."""
        both_ways = np.concatenate([self.head.triangles, self.head.triangles[:, ::-1]])
        rows, columns = both_ways.ravel(), np.roll(both_ways, 1, axis=1).ravel()
        count = len(self.points)
        graph = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
        graph.data[:] = 1
        return csr_matrix(diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph)

    def smooth(self, field: Array, rounds: int = 4) -> Array:
        """The field after some rounds of averaging with its neighbors: the edges of brushes become soft."""
        for _ in range(rounds):
            field = 0.5 * (field + self.neighbors @ field)
        return field

    def outward(self, center: ArrayLike) -> Array:
        """Unit vectors (N, 3) away from a point on the midline: a smooth stand-in for normals."""
        arm = self.points - np.asarray(center)
        return arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1.0)

    def mirrored(self, field: Array) -> Array:
        """The same field on the other side of the face."""
        return field[self.head.mirror] * [-1, 1, 1]

    # Constraints on every field of the head.
    def with_rigid_eyes(self, field: Array, growth: float = 0.0, turn: float = 0.0) -> Array:
        """Each eye moves as one: translated by what the field does to its lids, grown and turned about its
        center.

        growth: relative. turn: radians, outer corner up. Eyeball, socket and lids follow exactly, so that
        lids keep hugging the eyeball; toward the border of the orbit the field takes over.
        """
        moved = field.copy()
        for marks, sign in ((slice(42, 48), 1.0), (slice(36, 42), -1.0)):
            here = self.with_eye * ((self.side * sign) > 0)
            arm = self.points - self.eye * [sign, 1, 1]
            rigid = field[self.head.landmarks68[marks]].mean(0) + growth * arm
            rigid = rigid + sign * turn * np.column_stack([-arm[:, 1], arm[:, 0], np.zeros(len(arm))])
            moved += here[:, None] * (rigid - field)
        return moved

    def with_coherent_ears(self, field: Array) -> Array:
        """Each ear follows its attachment as a whole, by the affine motion that fits best there."""
        moved = field.copy()
        soft = self.smooth(self.regions["ears"][:, None], 8)
        rim = np.asarray(self.neighbors @ self.regions["ears"]).ravel() * (self.regions["ears"] < 0.5) > 0
        for sign in (1.0, -1.0):
            base = rim & (self.side * sign > 0)
            center = self.points[base].mean(0)
            arm = np.column_stack([np.ones(base.sum()), self.points[base] - center])
            # A millimeter of misfit at the rim costs as much as a strain of ten percent.
            ridge = np.diag([0.0, 1, 1, 1]) * 100.0 * base.sum()
            motion = np.linalg.solve(arm.T @ arm + ridge, arm.T @ field[base])
            here = soft * (self.side * sign > 0)[:, None]
            moved += here * (np.column_stack([np.ones(len(field)), self.points - center]) @ motion - field)
        return moved

    def finished(self, field: Array, growth: float = 0.0, turn: float = 0.0, symmetric: bool = True) -> Array:
        """A shape mode from a brushed field: ears coherent, smooth, eyes rigid, exactly (anti)symmetric."""
        field = self.smooth(self.with_coherent_ears(field))
        field = self.with_rigid_eyes(field, growth, turn)
        other = self.mirrored(field)
        return (field + other) / 2 if symmetric else (field - other) / 2
