"""Photos that lie on their side or stand on their head: quarter turns of photos, faces and results.

A photo is turned by so many quarters counterclockwise, as `numpy.rot90` does it, and everything in it turns
along; four quarters, or minus as many as before, bring it back exactly. Depth stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import Crop
from ..morphable import decompose_pose
from .face_input import FaceInput

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

Size = tuple[int, int]
"""Width and height of the photo before it is turned, in pixels."""


def turned_image(image: NDArray[np.uint8], quarters: int) -> NDArray[np.uint8]:
    """The photo (H, W, 3), turned; a copy unless it stays as it is."""
    return image if quarters % 4 == 0 else np.ascontiguousarray(np.rot90(image, quarters))


def turned_points(points: NDArray[Any], quarters: int, size: Size) -> NDArray[Any]:
    """Points (..., 2 or more columns) x, row and whatever stays, in the pixels of the turned photo."""
    turned = np.array(points)
    width, height = size
    for _ in range(quarters % 4):
        turned[..., 0], turned[..., 1] = turned[..., 1].copy(), width - 1 - turned[..., 0]
        width, height = height, width
    return turned


def turned_crop(crop: Crop, quarters: int, size: Size) -> Crop:
    """The box that shows in the turned photo what `crop` shows in the photo."""
    corners = turned_points(np.array(crop.box).reshape(2, 2), quarters, size)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return Crop(x0, y0, x1, y1, crop.size)


def upright_input(face: FaceInput) -> FaceInput:
    """The face as the network is to see it, in its turned photo: itself where `quarters` is 0."""
    if face.quarters % 4 == 0:
        return face
    size = face.image.shape[1], face.image.shape[0]
    return replace(
        face,
        image=turned_image(face.image, face.quarters),
        crop=turned_crop(face.crop, face.quarters, size),
        landmarks=None if face.landmarks is None else turned_points(face.landmarks, face.quarters, size),
        quarters=0,
    )


def in_photo(result: Reconstruction, face: FaceInput) -> Reconstruction:
    """The result for `upright_input(face)` in the photo as it is."""
    if face.quarters % 4 == 0:
        return result
    height, width = face.image.shape[:2]
    size = (width, height) if face.quarters % 2 == 0 else (height, width)
    return replace(turned_result(result, -face.quarters, size), quarters=face.quarters % 4)


def turned_result(result: Reconstruction, quarters: int, size: Size) -> Reconstruction:
    """A result in the photo, turned with it: crop, pose, mesh and landmarks. `quarters` stays."""
    pose = result.parameters[:12].reshape(3, 4).copy()
    for _ in range(quarters % 4):
        # In the crop x becomes 1 + x of the other axis and so on: rows count from 0 and y from 1.
        first, second = pose[0].copy(), pose[1].copy()
        pose[0], pose[1] = -second, first
        pose[0, 3] += result.crop.size + 1
        pose[1, 3] += 1
    _, angles, _ = decompose_pose(torch.from_numpy(pose).double())
    x, y = turned_points(np.array(result.translation), quarters, size)
    pitch, yaw, roll = torch.rad2deg(angles).tolist()
    return replace(
        result,
        crop=turned_crop(result.crop, quarters, size),
        parameters=np.concatenate([pose.reshape(-1), result.parameters[12:]]),
        angles=(pitch, yaw, roll),
        translation=(float(x), float(y)),
        vertices=turned_points(result.vertices, quarters, size),
        landmarks=turned_points(result.landmarks, quarters, size),
    )
