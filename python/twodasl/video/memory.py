"""What is kept of a track's frames: how the face moved, and the frame that shows it best."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..meshes.glb_head import GlbHead, HeadMotion
from ..morphable import MorphableModel
from ..reconstruction.avatar import avatar, expressions_of, quaternions
from ..reconstruction.texture import face_colors
from .tracker import TrackedFace

_BETTER = 1.1
"""How much better a frame must show the face to take the place of the one that is kept: copies take time."""

_BORDER = 4  # pixels kept around the mesh


class TrackMemory:
    """Takes the faces of one track, frame by frame; see `head`."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._angles: list[tuple[float, float, float]] = []
        self._scales: list[float] = []
        self._places: list[tuple[float, float]] = []
        self._expressions: list[NDArray[np.float32]] = []
        self._best = 0.0
        self._view: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None

    def add(self, frame: NDArray[np.uint8], face: TrackedFace) -> None:
        """The next frame, (H, W, 3) uint8 BGR, in which the face was seen."""
        self._seconds.append(face.seconds)
        self._angles.append(face.angles)
        self._scales.append(face.scale)
        self._places.append(face.translation)
        self._expressions.append(face.expression)
        pitch, yaw, _ = np.radians(face.angles)
        # Large and frontal.
        score = face.scale * max(math.cos(yaw), 0) * max(math.cos(pitch), 0)
        if self._view is None or score > _BETTER * self._best:
            self._best, self._view = score, _cut(frame, face.vertices)

    def head(self, model: MorphableModel, shape: NDArray[np.float32]) -> GlbHead:
        """The face of these coefficients (Ks,), with the motion of all frames and the best frame's colors."""
        if self._view is None:
            raise ValueError("head: expected at least one frame before")
        image, vertices = self._view
        expressions = expressions_of(model)
        return avatar(
            model,
            shape,
            expressions=expressions,
            expression=self._expressions[0],
            angles=self._angles[0],
            colors=face_colors(image, vertices, model.triangles, model),
            motion=self._motion(expressions.weigh(np.stack(self._expressions))),
        )

    def _motion(self, weights: NDArray[np.floating]) -> HeadMotion:
        """Where the head goes is seen across the picture alone: meters from the middle of its way."""
        places = np.array(self._places) * [1, -1]
        millimeters = (places - (places.min(axis=0) + places.max(axis=0)) / 2) / np.median(self._scales)
        moved = np.column_stack([millimeters / 1000, np.zeros(len(places))])
        return HeadMotion(self._seconds, quaternions(np.array(self._angles)), moved, weights)


def _cut(
    frame: NDArray[np.uint8], vertices: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A copy of the part of a frame that a mesh covers, and the mesh in its pixels."""
    limit = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(vertices[:, :2].min(axis=0)).astype(int) - _BORDER, 0, limit - 1)
    high = np.clip(np.ceil(vertices[:, :2].max(axis=0)).astype(int) + _BORDER + 1, low + 1, limit)
    moved = vertices - np.array([*low, 0], np.float32)
    return frame[low[1] : high[1], low[0] : high[0]].copy(), moved
