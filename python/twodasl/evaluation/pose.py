"""Errors of head pose by the field's protocol: mean absolute errors of three angles, and of the rotation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..geometry.pose import decompose_pose, matrix_from_angles

LIMIT = 99.0
"""Images with an angle beyond this many degrees are left out, as by Ruiz et al. ("Fine-grained head pose
estimation without keypoints", 2018, section 4) and everyone since."""


@dataclass(frozen=True)
class PoseErrors:
    """Mean absolute errors in degrees of pitch, yaw and roll, and how many images they are the mean of."""

    pitch: float
    yaw: float
    roll: float
    count: int

    @property
    def mean(self) -> float:
        """Of the three."""
        return (self.pitch + self.yaw + self.roll) / 3

    def line(self, label: str) -> str:
        """One line of a report."""
        return (
            f"pose, {label}: mean absolute error in degrees of yaw {self.yaw:.3f}, pitch {self.pitch:.3f},"
            f" roll {self.roll:.3f}, mean {self.mean:.3f}; {self.count} images with all angles within"
            f" {LIMIT:g} degrees"
        )

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        angles = {name: getattr(self, name) for name in ("pitch", "yaw", "roll", "mean")}
        return {**angles, "images": self.count}


def pose_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> PoseErrors | None:
    """Compare angles (n, 3), pitch, yaw, roll in degrees; None where no image is within the limit.

    Angles are `twodasl.geometry.pose.decompose_pose`'s, AFLW2000-3D's own convention. A difference counts the
    shorter way around.
    """
    if found.shape != truth.shape or found.ndim != 2 or found.shape[1] != 3:
        raise ValueError(f"found, truth: expected (n, 3) both, got {found.shape} and {truth.shape}")
    kept = within_limit(truth)
    if not kept.any():
        return None
    pitch, yaw, roll = angle_errors(found[kept], truth[kept]).mean(axis=0).tolist()
    return PoseErrors(pitch, yaw, roll, int(kept.sum()))


def within_limit(truth: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(n,) whether all angles (n, 3) of an image, in degrees, are at most `LIMIT`."""
    return (np.abs(truth) <= LIMIT).all(axis=1)


def angle_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Absolute differences (n, 3) of angles in degrees, the shorter way around."""
    return np.abs((np.asarray(found, np.float64) - truth + 180) % 360 - 180)


def geodesic_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """The angle in degrees (n,) of the turn between rotations (n, 3, 3): 0 to 180,
    one number whatever the Euler angles."""
    apart = np.swapaxes(np.asarray(found, np.float64), 1, 2) @ truth
    return np.degrees(Rotation.from_matrix(apart).magnitude())


def rotations(angles: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotations (n, 3, 3) of pitch, yaw, roll (n, 3) in degrees, 300W-LP's and AFLW2000-3D's convention."""
    pitch, yaw, roll = torch.from_numpy(np.radians(np.asarray(angles, np.float64))).unbind(1)
    return matrix_from_angles(pitch, yaw, roll).numpy()


def angles_of(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pitch, yaw, roll (n, 3) in degrees of rotations (n, 3, 3), 300W-LP's and AFLW2000-3D's convention."""
    linear = torch.from_numpy(np.asarray(matrices, np.float64))
    poses = torch.cat([linear, torch.zeros_like(linear[..., :1])], dim=2)
    return np.degrees(decompose_pose(poses)[1].numpy())
