"""Similarities of a crop's plane, x' = s Q (x - c) + c + d about its middle c: image, points and parameters.

They act on parameters as well: a similarity multiplies the pose from the left, with depth scaled by s.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .crops import SIZE, flip_y

_CENTER = (SIZE - 1) / 2


def moved_image(
    image: NDArray[np.uint8], angle: float, scale: float, shift: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """A crop (120, 120, 3) uint8 moved in its plane; border pixels repeat where it did not reach.

    angle: radians, clockwise as the viewer sees it. scale: s. shift: (2,) d, crop pixels x and row.
    """
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    offset = _CENTER + shift - linear @ [_CENTER, _CENTER]
    matrix = np.concatenate([linear, offset[:, None]], axis=1)
    return np.asarray(
        cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def moved_points(
    points: Tensor, angle: NDArray[np.floating], scale: NDArray[np.floating], shift: NDArray[np.floating]
) -> Tensor:
    """Landmarks (B, L, 2 or 3) of the moved crops, crop pixels x, row, z; depth is scaled.

    angle, scale: (B,). shift: (B, 2). All as in `moved_image`.
    """
    cosine, sine, dx, dy = (
        torch.from_numpy(v).to(points)[:, None]
        for v in (scale * np.cos(angle), scale * np.sin(angle), shift[:, 0], shift[:, 1])
    )
    x, row = points[..., 0] - _CENTER, points[..., 1] - _CENTER
    moved = [cosine * x - sine * row + _CENTER + dx, sine * x + cosine * row + _CENTER + dy]
    if points.shape[-1] == 3:
        moved.append(points[..., 2] * torch.from_numpy(scale).to(points)[:, None])
    return torch.stack(moved, dim=-1)


def moved_parameters(
    parameters: Tensor, angle: NDArray[np.floating], scale: NDArray[np.floating], shift: NDArray[np.floating]
) -> Tensor:
    """Parameters (B, 12+K) whose landmarks are those of `moved_points`: rows point down, y points up."""
    middle = np.array([_CENTER, float(flip_y(np.array(_CENTER))), 0.0])
    pose = parameters[:, :12].double().cpu().numpy().reshape(-1, 3, 4)
    turn = np.zeros((len(pose), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = scale * np.cos(angle)
    turn[:, 0, 1] = scale * np.sin(angle)
    turn[:, 1, 0] = -turn[:, 0, 1]
    turn[:, 2, 2] = scale
    moved = turn @ pose
    moved[:, :, 3] = (turn @ (pose[:, :, 3] - middle)[..., None])[..., 0] + middle
    moved[:, 0, 3] += shift[:, 0]
    moved[:, 1, 3] -= shift[:, 1]
    flat = torch.from_numpy(moved.reshape(-1, 12)).to(parameters)
    return torch.cat([flat, parameters[:, 12:]], dim=1)
