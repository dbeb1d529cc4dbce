"""Turning the head of a photo in depth, so that profiles come with parameters.

Photos of profiles with exact annotation are rare. After Zhu et al. (Face Alignment Across Large Poses: A 3D
Solution, CVPR 2016, arXiv 1511.07212, section 4, "face profiling"), a photo with a fitted head becomes one of
the same person seen more from the side: the head carries the photo's pixels as it turns, the surroundings
move with it, and what the photo does not show is completed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import twodasl_ext

from ..errors import InputError
from ..geometry.crops import SIZE, crop_from_landmarks
from ..geometry.parameters import POSE_SIZE
from ..geometry.pose import matrix_from_angles
from ..geometry.projection import crop_vertices
from ..morphable import MorphableModel
from .turn_painting import Drawing, painted
from .turn_skin import FINE, Completion, fine_grid
from .turn_surroundings import surroundings_map

Floats = NDArray[np.float32]

_VISIBLE_SLACK = 5.0  # millimeters by which a landmark may lie behind the surface drawn at its place
_FLATTEST = 1e-3  # pixels per millimeter


@dataclass(frozen=True)
class Turned:
    """A photo whose head was turned.

    Attributes:
        image: (120, 120, 3) uint8 BGR, cropped by the 68 landmarks of the turned head.
        parameters: (12+K,) float32 `[3x4 pose | coefficients]`, not whitened, of the head in that crop.
        landmarks: (68, 3) float32, the model's landmarks with them: x, row and z in crop pixels.
        visible: (68,) bool: landmarks inside the crop that the head itself does not hide.
    """

    image: NDArray[np.uint8]
    parameters: Floats
    landmarks: Floats
    visible: NDArray[np.bool_]


class FaceTurner:
    """Turns heads of one face model; what depends on the model alone is prepared once.

    Args:
        model: any MorphableModel whose triangles are counter-clockwise seen from outside.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.basis = model.basis()
        self._completion = Completion(model)

    def __call__(
        self, image: NDArray[np.uint8], parameters: ArrayLike, turn: float, lift: float = 0.0
    ) -> Turned:
        """Turn the head of one crop.

        Args:
            image: (120, 120, 3) uint8 BGR crop.
            parameters: (12+K,) of the head in it, not whitened.
            turn: radians about the vertical axis of the picture; positive toward the left of the image, like
                a yaw.
            lift: radians about its horizontal axis, after the turn; positive lifts the nose.

        Returns:
            The turned head. The same input gives the same bits.

        Raises:
            InputError: an argument of another shape or type, or numbers that are no head in the crop.
        """
        picture, vector = _checked_image(image), self._checked(parameters, turn, lift)
        source = self._vertices(vector)
        moved = self._moved(vector, turn, lift)
        target = self._vertices(moved)
        drawing = self._drawn(target)
        front = self._completion.front > 0.5
        scale = _size(moved) / _size(vector)
        around = surroundings_map(
            source[front], target[front], scale, self._level(source), self._level(target), turn
        )
        return Turned(
            painted(picture, source, around, drawing, self._completion), *self._placed(moved, target, drawing)
        )

    def place(
        self, parameters: ArrayLike, turn: float, lift: float = 0.0
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """`parameters`, `landmarks` and `visible` of the turned head alone, without its picture.

        Arguments and errors as when a picture is made.
        """
        moved = self._moved(self._checked(parameters, turn, lift), turn, lift)
        target = self._vertices(moved)
        return self._placed(moved, target, self._drawn(target))

    def _placed(
        self, moved: Floats, target: Floats, drawing: Drawing
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        landmarks = target[self.model.landmarks]
        return moved, landmarks, _visible(landmarks, drawing[2], _VISIBLE_SLACK * _size(moved))

    def _drawn(self, vertices: Floats) -> Drawing:
        triangle, weights, depth = twodasl_ext.rasterize(
            torch.from_numpy(fine_grid(vertices))[None], self._completion.kept, FINE * SIZE
        )
        return triangle[0].numpy(), weights[0].numpy(), depth[0].numpy()

    def _checked(self, parameters: ArrayLike, turn: float, lift: float) -> Floats:
        if not (math.isfinite(turn) and math.isfinite(lift)):
            raise InputError(f"turn, lift: expected two finite angles in radians, got {turn} and {lift}")
        return _checked_parameters(parameters, self.basis.mode_count)

    def _vertices(self, parameters: Floats) -> Floats:
        """(N, 3) x, row, z in crop pixels."""
        found = crop_vertices(self.basis, torch.from_numpy(parameters)[None])[0]
        return np.asarray(found.numpy(), np.float32)

    def _level(self, vertices: Floats) -> float:
        """The row of the middle of the ears, which the head turns about."""
        return float(vertices[self.model.landmarks[[0, 16]], 1].mean())

    def _moved(self, vector: Floats, turn: float, lift: float) -> Floats:
        """The parameters of the turned head in its own crop."""
        rotation = matrix_from_angles(float(lift), float(turn), 0.0)
        moved = vector.copy()
        pose = moved[:POSE_SIZE].reshape(3, 4)
        pose[:, :3] = rotation.numpy() @ pose[:, :3]
        crop = crop_from_landmarks(self._vertices(moved)[self.model.landmarks])
        pose[:] = crop.pose(pose, SIZE)
        return moved


def _size(parameters: Floats) -> float:
    """Pixels per millimeter."""
    return float(np.linalg.norm(parameters[:3]))


def _checked_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = np.asarray(image)
    if picture.shape != (SIZE, SIZE, 3) or picture.dtype != np.uint8:
        raise InputError(
            f"image: expected ({SIZE}, {SIZE}, 3) uint8 BGR, got {picture.shape} {picture.dtype}"
        )
    return np.ascontiguousarray(picture)


def _checked_parameters(parameters: ArrayLike, modes: int) -> Floats:
    vector = np.array(parameters, dtype=np.float32)
    if vector.shape != (POSE_SIZE + modes,):
        raise InputError(f"parameters: expected ({POSE_SIZE}+{modes},), got {vector.shape}")
    if not np.isfinite(vector).all():
        raise InputError("parameters: expected finite numbers, got NaN or infinity")
    if min(float(np.linalg.norm(vector[start : start + 3])) for start in (0, 4, 8)) < _FLATTEST:
        raise InputError(
            "parameters: expected a camera that turns and scales the head, got one that flattens it"
        )
    return vector


def _visible(landmarks: Floats, depth: Floats, slack: float) -> NDArray[np.bool_]:
    """Which landmarks (68, 3) are inside the crop and not behind a surface drawn within a pixel of them."""
    x, row = landmarks[:, 0], landmarks[:, 1]
    inside = (x > -0.5) & (x < SIZE - 0.5) & (row > -0.5) & (row < SIZE - 0.5)
    side = 2 * FINE + 1
    farthest = cv2.erode(depth, np.ones((side, side), np.uint8), borderValue=float("inf"))
    fine = np.clip(np.rint(fine_grid(landmarks)[:, :2]), 0, FINE * SIZE - 1).astype(int)
    return inside & (farthest[fine[:, 1], fine[:, 0]] <= landmarks[:, 2] + slack)
