"""Faces drawn over a frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..morphable import MorphableModel
from ..pictures.face_part import face_share
from ..pictures.render import TINT, draw_landmarks, render_mesh
from ..reconstruction.self_occlusion import visible_landmarks
from .tracker import TrackedFace

KINDS = ("mesh", "landmarks", "both")

_OPACITY = 0.45
_DRAWN = 0.5  # share of a vertex from which it belongs to the mask, which ends there


class FaceDrawing:
    """Draws faces of one model: as a mask of the mesh, their 68 landmarks, or both (`KINDS`).

    Landmarks that the face itself hides are faint.
    """

    def __init__(self, model: MorphableModel, kind: str = "both", numbers: bool = False) -> None:
        self._mask = kind in ("mesh", "both")
        self._marks = kind in ("landmarks", "both")
        self._numbers = numbers
        self._vertices, self._triangles = _face_only(model)
        self._basis, self._surface = model.basis(), torch.from_numpy(model.triangles)
        self._colors = np.broadcast_to(np.array(TINT, np.float32), (len(self._vertices), 3))

    def __call__(self, frame: NDArray[np.uint8], faces: Sequence[TrackedFace]) -> NDArray[np.uint8]:
        """A copy of the frame (H, W, 3) uint8 BGR with the faces, the smaller below the larger."""
        drawn = frame.copy()
        for face in sorted(faces, key=lambda face: face.crop.x1 - face.crop.x0):
            if self._mask:
                self._draw_mask(drawn, face)
            if self._marks:
                drawn = draw_landmarks(drawn, face.landmarks, self._hidden(face))
            if self._numbers:
                _draw_number(drawn, face)
        return drawn

    def _hidden(self, face: TrackedFace) -> NDArray[np.bool_]:
        parameters = torch.from_numpy(face.parameters)[None]
        return ~visible_landmarks(self._basis, self._surface, parameters)[0].numpy()

    def _draw_mask(self, drawn: NDArray[np.uint8], face: TrackedFace) -> None:
        points = face.vertices[self._vertices]
        height, width = drawn.shape[:2]
        low = np.clip(np.floor(points[:, :2].min(axis=0)).astype(int) - 1, 0, [width, height])
        high = np.clip(np.ceil(points[:, :2].max(axis=0)).astype(int) + 2, 0, [width, height])
        if (high <= low).any():
            return
        part = np.ascontiguousarray(drawn[low[1] : high[1], low[0] : high[0]])
        moved = points - np.array([*low, 0], np.float32)
        size = part.shape[:2]
        layer = render_mesh(
            moved, self._triangles, size, "headlight", self._colors, part, _OPACITY, samples=1
        )
        drawn[low[1] : high[1], low[0] : high[0]] = layer


def _draw_number(drawn: NDArray[np.uint8], face: TrackedFace) -> None:
    x, row = face.landmarks[:, :2].min(axis=0)
    place = (int(np.clip(x, -1e4, 1e4)), int(np.clip(row, -1e4, 1e4)) - 6)
    for color, thickness in (((30, 30, 30), 3), ((255, 255, 255), 1)):
        cv2.putText(
            drawn, str(face.track), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA
        )


def _face_only(model: MorphableModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The vertices of the face without neck, ears and the back of the head, and triangles between them."""
    kept = face_share(model.mean, model.landmarks) > _DRAWN
    triangles = model.triangles[kept[model.triangles].all(axis=1)]
    if not len(triangles):  # a model of which the landmarks do not lie as on a face
        triangles = model.triangles
    vertices, rows = np.unique(triangles, return_inverse=True)
    return vertices, rows.reshape(triangles.shape).astype(np.int64)
