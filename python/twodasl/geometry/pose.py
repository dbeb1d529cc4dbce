"""Pose: angles, scale and translation <-> the 3x4 matrix of a scaled orthographic camera.

The angles are AFLW2000-3D's: `R = Rx(pitch) Ry(yaw) Rz(roll)` in radians, each factor turning the axes
(the transpose of the textbook matrix that turns points). A positive yaw turns the nose to the image's left,
a positive pitch lifts it, and a positive roll turns the head clockwise as the viewer sees it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# If |cos(yaw)| is smaller, pitch and roll rotate about the same axis; roll is then reported as 0.
GIMBAL_COSINE = 1e-6


def matrix_from_angles(pitch: Tensor | float, yaw: Tensor | float, roll: Tensor | float) -> Tensor:
    """Rotation matrices from angles in radians.

    Args:
        pitch, yaw, roll: (...) floating tensors (or numbers) that broadcast together.

    Returns:
        (..., 3, 3), dtype and device of the inputs (float32 for plain numbers). Differentiable.
    """
    angles = torch.broadcast_tensors(*(_floating(angle) for angle in (pitch, yaw, roll)))
    (cx, sx), (cy, sy), (cz, sz) = (_cos_sin(angle) for angle in angles)
    rows = (
        (cy * cz, cy * sz, -sy),
        (sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy),
        (cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def pose_matrix(scale: Tensor | float, angles: Tensor, translation: Tensor) -> Tensor:
    """The camera `V = (f R) S + t` as one matrix `[f R | t]`.

    Args:
        scale: (...) pixels per millimeter, positive.
        angles: (..., 3) pitch, yaw, roll in radians.
        translation: (..., 3) in pixels.

    Returns:
        (..., 3, 4) pose, the first twelve entries of a parameter vector. Differentiable.
    """
    if angles.shape[-1:] != (3,):
        raise ValueError(f"angles: expected (..., 3) pitch, yaw, roll, got {tuple(angles.shape)}")
    if translation.shape[-1:] != (3,):
        raise ValueError(f"translation: expected (..., 3), got {tuple(translation.shape)}")
    rotation = matrix_from_angles(*angles.unbind(-1))
    scale = torch.as_tensor(scale, dtype=rotation.dtype, device=rotation.device)
    linear = scale[..., None, None] * rotation
    batch = torch.broadcast_shapes(linear.shape[:-2], translation.shape[:-1])
    linear = linear.expand(*batch, 3, 3)
    return torch.cat([linear, translation.to(linear).expand(*batch, 3)[..., None]], -1)


def decompose_pose(pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, angles, and translation of a pose; the inverse of `pose_matrix`.

    A pose predicted by a network is not exactly a scaled rotation. Its first two rows, which are visible in
    an image, are normalized to unit length and then made orthogonal symmetrically; the third row follows from
    them.

    Args:
        pose: (..., 3, 4) or (..., 12) floating tensor.

    Returns:
        scale (...), the mean length of the first two rows; angles (..., 3) pitch, yaw, roll in radians with
        yaw in [-pi/2, pi/2]; translation (..., 3). At yaw = +-90 degrees only the combination of pitch and
        roll is defined; roll is 0 there.
    """
    if pose.shape[-1:] == (12,) and pose.shape[-2:] != (3, 4):
        pose = pose.reshape(*pose.shape[:-1], 3, 4)
    if pose.shape[-2:] != (3, 4):
        raise ValueError(f"pose: expected (..., 3, 4) or (..., 12), got {tuple(pose.shape)}")
    rotation = _rotation_of(pose[..., :3])
    scale = pose[..., :2, :3].norm(dim=-1).mean(-1)
    cosine = torch.hypot(rotation[..., 0, 0], rotation[..., 0, 1])
    yaw = torch.atan2(-rotation[..., 0, 2], cosine)
    regular = cosine > GIMBAL_COSINE
    pitch = torch.where(
        regular,
        torch.atan2(rotation[..., 1, 2], rotation[..., 2, 2]),
        torch.atan2(-rotation[..., 2, 1], rotation[..., 1, 1]),
    )
    roll = torch.where(regular, torch.atan2(rotation[..., 0, 1], rotation[..., 0, 0]), torch.zeros_like(yaw))
    return scale, torch.stack([pitch, yaw, roll], -1), pose[..., 3]


def _rotation_of(linear: Tensor) -> Tensor:
    """The rotation (..., 3, 3) whose first two rows are closest to the given ones, up to scale."""
    first, second = (torch.nn.functional.normalize(linear[..., row, :], dim=-1) for row in (0, 1))
    # The bisectors of two unit vectors are orthogonal; rotating them back by 45 degrees moves both equally.
    along = torch.nn.functional.normalize(first + second, dim=-1)
    across = torch.nn.functional.normalize(first - second, dim=-1)
    half = 0.5**0.5
    first, second = half * (along + across), half * (along - across)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


def _cos_sin(angle: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cos(angle), torch.sin(angle)


def _floating(value: Tensor | float) -> Tensor:
    tensor = torch.as_tensor(value)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
