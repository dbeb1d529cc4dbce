"""One reconstructed face, and placing what was found in crops in their photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import Crop, flip_y
from ..morphable import MorphableModel, decompose_pose, split_parameters
from ..training.confidence import Clues
from .face_input import FaceInput

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reconstruction:
    """One face.

    Attributes:
        crop: the box of the image that the network saw.
        parameters: (12+K,) float32 `[3x4 pose | coefficients]`, not whitened, in the crop's own space (y up).
        shape, expression: (Ks,) and (Ke,) float32, the coefficients: the last K parameters.
        angles: pitch, yaw, roll in degrees, AFLW2000-3D's convention.
        scale: image pixels per millimeter.
        translation: (x, row) in image pixels of the model's origin.
        vertices: (N, 3) float32 image space: x = column, y = row, z in pixels, larger = nearer.
        landmarks: (68, 3) float32, the same space: the vertices numbered `landmark_indices`, (68,) int64.
        triangles: (T, 3) int64, counter-clockwise from outside when y points up.
        quarters: by how many quarter turns counterclockwise the photo was turned for the network, see
            `FaceInput.quarters`. All of the above refers to the photo as it is.
        doubted: whether the landmarks that came with the face contradict what the network sees, so that the
            fit gave them little weight.
        confidence: the probability, 0 to 1, that the mean distance of the 68 landmarks from where they are is
            at most 5 % of the face's size (`training.confidence.GOOD`); low where there is no face. None with
            checkpoints, and with weights that were exported without it.
        clues: what it was concluded from; None where the network has no points of its own.
    """

    crop: Crop
    parameters: Floats
    shape: Floats
    expression: Floats
    angles: tuple[float, float, float]
    scale: float
    translation: tuple[float, float]
    vertices: Floats
    landmarks: Floats
    landmark_indices: NDArray[np.int64]
    triangles: NDArray[np.int64]
    quarters: int = 0
    doubted: bool = False
    confidence: float | None = None
    clues: Clues | None = None

    def upright(self, height: int) -> Floats:
        """Vertices (N, 3) for mesh files: y points up from the bottom row of an image `height` rows tall."""
        return self.vertices * np.array([1, -1, 1], np.float32) + np.array([0, height - 1, 0], np.float32)


def place_faces(
    model: MorphableModel, faces: list[FaceInput], parameters: torch.Tensor, vertices: torch.Tensor
) -> list[Reconstruction]:
    """Parameters (B, 12+K) and vertices (B, N, 3) of the crops, in the photos."""
    pose, coefficients = split_parameters(parameters, len(model.coefficient_std))
    scale, angles, translation = decompose_pose(pose.double())
    translation[..., 1] = flip_y(translation[..., 1])
    degrees = torch.rad2deg(angles).cpu().tolist()
    results = []
    for index, face in enumerate(faces):
        step_x, step_y = face.crop.scale
        origin = face.crop.to_image(translation[index, :2].cpu().numpy())
        points = face.crop.to_image(vertices[index].double().cpu().numpy()).astype(np.float32)
        shape_count = len(model.shape_modes)
        results.append(
            Reconstruction(
                crop=face.crop,
                parameters=parameters[index].cpu().numpy(),
                shape=coefficients[index, :shape_count].cpu().numpy(),
                expression=coefficients[index, shape_count:].cpu().numpy(),
                angles=tuple(degrees[index]),
                scale=float(scale[index]) * (step_x + step_y) / 2,
                translation=(float(origin[0]), float(origin[1])),
                vertices=points,
                landmarks=points[model.landmarks],
                landmark_indices=model.landmarks,
                triangles=model.triangles,
            )
        )
    return results
